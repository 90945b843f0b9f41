"""From a campaign's source to its programs, once per revision: one for each language and format, and the links they share."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from kairan.addresses import AddressError
from kairan.i18n import LANGUAGES
from kairan.i18n import gettext as _
from mailer.compose import page as pages
from mailer.compose import written_text
from mailer.compose.envelope import headers
from mailer.compose.findings import ContentError, MergeError
from mailer.compose.footer import Organisation
from mailer.compose.links import LinkPosition, resolve
from mailer.compose.nodes import Nodes, Text, joined
from mailer.compose.page import Layout, Page, addressed
from mailer.compose.preview import preview
from mailer.compose.program import Program, wire
from mailer.compose.source import Source

__all__ = [
    "FORMATS",
    "Compiled",
    "ContentError",
    "Format",
    "LinkPosition",
    "MergeError",
    "Organisation",
    "Source",
    "compile_source",
    "preview",
    "resolve",
]

Format = Literal["html", "plain", "text"]
FORMATS: tuple[Format, ...] = ("html", "plain", "text")
"""html: beacon and tracked links as the campaign has them; plain: HTML without any tracking; text: text alone, without tracking"""
_QUOTED = "Content-Transfer-Encoding: quoted-printable"


@dataclass(frozen=True, slots=True)
class Compiled:
    programs: dict[tuple[Format, str], Program]
    links: list[LinkPosition]


def compile_source(source: Source) -> Compiled:
    """Raises ContentError (MergeError among them) when the source cannot become a mail."""
    source = replace(source, base_url=source.base_url.rstrip("/"))
    if not source.has_html and not source.has_text:
        raise ContentError("empty", _("The content is empty."))
    try:
        return _compile(source)
    except AddressError as error:
        raise ContentError("from_email", _("The sender's address cannot be used: %(reason)s", reason=str(error)), "from_email") from error


def _compile(source: Source) -> Compiled:
    page = pages.read(source) if source.has_html else None
    own_text = written_text.read(source) if source.has_text else None
    links = page.links if page else written_text.links(own_text or (), source.first_link)
    programs = {
        (format_, language): Program(_message(source, page, own_text, links, format_, language))
        for format_ in FORMATS
        for language in LANGUAGES
    }
    return Compiled(programs, links)


def _message(source: Source, page: Page | None, own_text: Nodes | None, links: list[LinkPosition], format_: Format, language: str) -> Nodes:
    recorded = format_ == "html"
    layout = Layout(language, beacon=recorded and source.record_opens, tracked=recorded and source.record_clicks)
    text = text_nodes(source, page, own_text, links, layout)
    if page is None or format_ == "text":
        return joined([*headers(source, f"Content-Type: text/plain; charset=utf-8\r\n{_QUOTED}"), *_body(text, source)])
    boundary = _boundary(source)
    content = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"'
    return joined(
        [
            *headers(source, content),
            *_part(text, source, boundary, "plain"),
            *_part(pages.html(page, source, layout), source, boundary, "html"),
            Text(f"--{boundary}--\r\n"),
        ]
    )


def text_nodes(source: Source, page: Page | None, own_text: Nodes | None, links: list[LinkPosition], layout: Layout) -> Nodes:
    """The plain text: the author's own where there is one, else written from the page."""
    if own_text is not None:
        return written_text.body(source, own_text, links, layout)
    return pages.text(page, source, layout) if page else ()


def _part(nodes: Nodes, source: Source, boundary: str, subtype: str) -> Nodes:
    return (Text(f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n{_QUOTED}\r\n\r\n"), *_body(nodes, source))


def _body(nodes: Nodes, source: Source) -> Nodes:
    """Wire nodes that end with a line break, whatever the last value is."""
    return wire(joined([*addressed(nodes, source.base_url), Text("\n")]))


def _boundary(source: Source) -> str:
    """`=_` cannot stand in quoted-printable, so no content can hold it."""
    return "=_" + blake2b(f"{source.campaign_id}:{source.revision}".encode(), digest_size=12).hexdigest()

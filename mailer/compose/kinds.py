"""The kinds of content that a campaign may have, and what each becomes as HTML before it is merged, sanitised and inlined."""

from functools import cache
from html import escape
from typing import TYPE_CHECKING

from mailer.compose import document, mjml_writer
from mailer.compose.brand import NOTHING, Shared

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

KINDS = ("html", "text", "document", "mjml", "markdown")
_PAGE = (
    "<html><head><title>{title}</title><style>"
    "body{{margin:0;padding:24px 12px;background:#ffffff;color:#1f2733}}"
    ".k-page{{max-width:600px;margin:0 auto;font-family:{font};font-size:16px;line-height:1.65}}"
    ".k-page h1{{font-size:28px;line-height:1.25}}.k-page h2{{font-size:22px;line-height:1.3}}.k-page h3{{font-size:18px}}"
    ".k-page img{{max-width:100%;height:auto}}.k-page blockquote{{margin:0;padding-left:16px;border-left:3px solid #2f4bd0}}"
    ".k-page a{{color:#2f4bd0}}@media (prefers-color-scheme:dark){{body{{background:#14171c !important;color:#e8eaee !important}}"
    '.k-page a{{color:#9fb2ff !important}}}}</style></head><body><div class="k-page">{body}</div></body></html>'
)


def as_html(kind: str, content: str, *, picture_base: str, title: str = "", shared: Shared = NOTHING) -> str | None:
    """None for plain text, and for nothing. Raises ContentError."""
    if kind == "text" or not content.strip():
        return None
    if kind == "document":
        return mjml_writer.html(document.read(content), picture_base=picture_base, shared=shared)
    if kind == "mjml":
        return mjml_writer.compiled(mjml_writer.checked(content))
    if kind == "markdown":
        return _PAGE.format(title=escape(title), font=document.FONTS["sans"], body=_markdown().render(content))
    return content


@cache
def _markdown() -> "MarkdownIt":
    """CommonMark with tables; HTML in it is text, so nothing hides in it."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

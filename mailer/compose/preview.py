"""A mail as one member would see it, for a sandboxed frame: the same document, without tokens, beacon and tracked links."""

from html import escape

from lxml import etree

from mailer.compose import page as pages
from mailer.compose import written_text
from mailer.compose.page import Layout
from mailer.compose.program import render
from mailer.compose.recipient import Recipient
from mailer.compose.source import Source
from mailer.compose.stylesheet import in_scheme


def preview(
    source: Source,
    recipient: Recipient,
    language: str,
    *,
    dark: bool | None = None,
    text: bool = False,
    link_ids: bool = False,
    own_links: bool = True,
) -> str:
    """HTML, or the plain text as a page where `text` is wanted or there is no HTML. `dark`: None leaves it to the reader's system.

    `link_ids` leaves each link's number in `data-lid` for the click map. Without `own_links` there is no way to unsubscribe and the like in
    it: for a mail that is no member's. Raises ContentError.
    """
    layout = Layout(language, beacon=False, tracked=False, link_ids=link_ids, own_links=own_links)
    page = pages.read(source) if source.has_html else None
    if page is None or text:
        own = written_text.read(source) if source.has_text else None
        nodes = written_text.body(source, own, [], layout) if own is not None else pages.text(page, source, layout) if page else ()
        nodes = pages.addressed(nodes, source.base_url) if own_links else pages.without_own(nodes)
        return _text_page(render(nodes, recipient), language)
    if dark is not None:
        for style in page.root.iter("style"):
            style.text = in_scheme(style.text or "", dark)
        _switch_media(page.root, dark)
    return render(pages.html(page, source, layout), recipient)


def _switch_media(root: etree._Element, dark: bool) -> None:
    for element in root.iter("style", "source"):
        media = element.get("media")
        if media:
            element.set("media", in_scheme(media, dark))


def _text_page(text: str, language: str) -> str:
    style = "margin:0;padding:16px;white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.6 ui-monospace,monospace"
    head = f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8"></head>'
    return f'{head}<body style="{style}">{escape(text)}</body></html>\n'

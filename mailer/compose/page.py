"""Author's HTML, read once: merged, sanitised, inlined, its links numbered; then written out for each language and format."""

import re
from copy import deepcopy
from dataclasses import dataclass
from html import escape

from lxml import etree

from kairan.i18n import gettext as _
from mailer.compose import footer, merge, plaintext, sanitise
from mailer.compose.findings import ContentError, Finding, MergeError
from mailer.compose.inline import inline
from mailer.compose.links import NUMBER, LinkPosition, number
from mailer.compose.nodes import Choice, Mark, Node, Nodes, Output, OwnUrl, Text, joined
from mailer.compose.source import Source, scope
from mailer.compose.standins import URL_ATTRIBUTES, StandIns, Writer, is_after_host, written_constants

# Those of HTML and XHTML, whose names choose how a program lays the mail out; any other could name a file.
_DOCTYPE = re.compile(
    r"\s*(<!doctype\s+html(?:\s+public\s+\"-//W3C//DTD [\w. /]+//EN\"(?:\s+\"http://www\.w3\.org/TR/[\w./-]+\")?)?\s*>)", re.IGNORECASE
)
_OWN_PATHS = {"unsubscribe_url": "/u/", "preferences_url": "/p/", "view_url": "/v/"}
_HIDDEN = "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all"
# Fills the line that an inbox shows, so that it does not go on with the mail's first words: some 140 characters are shown.
_PADDING = "&#847;&zwnj;&nbsp;" * 60


@dataclass(frozen=True, slots=True)
class Layout:
    """What one writing of a page holds. `link_ids` is for the click map, and never mailed. Without `own_links` it has none of the
    addresses that would be a member's: a mail that everybody may read has nobody to unsubscribe."""

    language: str
    beacon: bool
    tracked: bool
    link_ids: bool = False
    own_links: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    root: etree._Element
    standins: StandIns
    links: list[LinkPosition]
    doctype: str
    has_own_footer: bool
    removed: list[Finding]


def read(source: Source) -> Page:
    """Raises ContentError, MergeError among them."""
    if source.fault is not None:
        raise source.fault
    try:
        return _read(source)
    except RecursionError as error:
        # CSS and selectors are read by recursive parsers.
        raise ContentError("too_deep", _("The content or its CSS is nested too deeply.")) from error


def _read(source: Source) -> Page:
    written = source.html or ""
    if len(written) > sanitise.SIZE_MAX:
        raise ContentError("too_large", _("The content is larger than 1 MB."))
    html = merge.from_html(written)
    nodes = merge.parse(html, scope(source), "content", "html")
    standins = StandIns(html)
    root = sanitise.parsed(Writer(standins, "content").html(nodes))
    removed = sanitise.sanitise(root, standins)
    _check_places(root, standins)
    _check_conditions(root, standins)
    inline(root)
    sanitise.escape_style_tags(root)
    doctype = _DOCTYPE.match(html)
    links = number(root, standins, source.first_link)
    return Page(root, standins, links, doctype[1] if doctype else "<!DOCTYPE html>", _has_own_footer(root, standins), removed)


def html(page: Page, source: Source, layout: Layout) -> Nodes:
    """The whole document as nodes, our own addresses still as OwnUrl."""
    root = deepcopy(page.root)
    if not root.get("lang"):
        root.set("lang", layout.language)
    _declare_utf8(root)
    body = sanitise.section(root, "body")
    _put_links(root, page, source.base_url, layout)
    _put_first(body, page.standins.hold(_preheader(source)))
    after = () if page.has_own_footer else footer.html(source.organisation, layout.language, own_links=layout.own_links)
    _put_last(body, page.standins.hold((*after, *(_beacon(source.base_url) if layout.beacon else ()))))
    document = etree.tostring(root, method="html", encoding="unicode", with_tail=False)
    nodes = page.standins.nodes(f"{page.doctype}\n{document}\n")
    return nodes if layout.own_links else without_own(nodes)


def text(page: Page, source: Source, layout: Layout) -> Nodes:
    """The plain-text part; a link has the number of its position in the HTML."""
    standins = page.standins

    def address(anchor: etree._Element) -> str:
        numbered = anchor.get(NUMBER)
        if numbered and layout.tracked:
            return standins.hold(click(source.base_url, int(numbered)))
        href = str(anchor.get("href", ""))
        return "" if href.startswith("#") else href.removeprefix("mailto:").removeprefix("tel:").replace(" ", "%20")

    written = plaintext.write(deepcopy(page.root), standins, address)
    after = () if page.has_own_footer else footer.text(source.organisation, layout.language, own_links=layout.own_links)
    return joined([*standins.nodes(written, plain=True), *after])


def click(base_url: str, number_of_link: int) -> Nodes:
    return (Text(f"{base_url}/c/"), Mark("trace"), Text(f"/{number_of_link}"))


def addressed(nodes: Nodes, base_url: str) -> Nodes:
    """Our own addresses written out, with the mark that makes each the member's."""
    done: list[Node] = []
    for node in nodes:
        if isinstance(node, OwnUrl):
            own = _OWN_PATHS.get(node.name)
            done += [Text(base_url + own), Mark("act")] if own else [Text(f"{base_url}/about/tracking")]
        elif isinstance(node, Choice):
            branches = tuple((condition, addressed(branch, base_url)) for condition, branch in node.branches)
            done.append(Choice(branches, addressed(node.otherwise, base_url)))
        else:
            done.append(node)
    return joined(done)


def without_own(nodes: Nodes) -> Nodes:
    """The same without our own addresses."""
    done: list[Node] = []
    for node in nodes:
        if isinstance(node, Choice):
            done.append(Choice(tuple((condition, without_own(branch)) for condition, branch in node.branches), without_own(node.otherwise)))
        elif not isinstance(node, OwnUrl):
            done.append(node)
    return joined(done)


def has_unsubscribe(nodes: Nodes) -> bool:
    """Whether every member gets the author's own opt-out link: one inside a condition does not count."""
    return any(isinstance(node, OwnUrl) and node.name == "unsubscribe_url" for node in nodes)


def _has_own_footer(root: etree._Element, standins: StandIns) -> bool:
    """Looked for where a reader finds it, in the body's text and links: not in comments, other attributes, or what was taken out."""
    body = deepcopy(sanitise.section(root, "body"))
    for element in body.iter(etree.Element):
        href = element.get("href") if element.tag in ("a", "area") else None
        element.attrib.clear()
        if href:
            element.set("href", href)
    document = etree.tostring(body, method="html", encoding="unicode")
    return has_unsubscribe(standins.nodes(re.sub(rf"<!--(?!{standins.prefix}).*?-->", "", document, flags=re.DOTALL)))


def _preheader(source: Source) -> Nodes:
    if not source.preheader.strip():
        return ()
    parsed = merge.parse(source.preheader, scope(source), "preheader", "text")
    words = written_constants(merge.recontexted(parsed, "html"))
    return joined([Text(f'<div style="{_HIDDEN}">'), *words, Text(f"{_PADDING}</div>")])


def _beacon(base_url: str) -> Nodes:
    style = 'width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0"'
    return (Text(f'<img src="{escape(base_url)}/o/'), Mark("trace"), Text(f'.gif" {style}>'))


def _put_links(root: etree._Element, page: Page, base_url: str, layout: Layout) -> None:
    for anchor in root.iter("a", "area"):
        numbered = anchor.get(NUMBER)
        if numbered and layout.tracked:
            anchor.set("href", page.standins.hold(click(base_url, int(numbered))))
        if numbered and not layout.link_ids:
            del anchor.attrib[NUMBER]
        if not layout.own_links and _is_own(anchor.get("href", ""), page.standins):
            del anchor.attrib["href"]


def _is_own(address: str, standins: StandIns) -> bool:
    return any(isinstance(node, OwnUrl) for nodes in standins.held(address) for node in nodes)


def _put_first(body: etree._Element, standin: str) -> None:
    body.text = standin + (body.text or "")


def _put_last(body: etree._Element, standin: str) -> None:
    if len(body):
        body[-1].tail = (body[-1].tail or "") + standin
    else:
        body.text = (body.text or "") + standin


def _declare_utf8(root: etree._Element) -> None:
    """One declaration, ours: a page pasted from elsewhere may name another charset than the mail's."""
    head = sanitise.section(root, "head")
    for meta in list(head.iter("meta")):
        if meta.get("charset") or meta.get("http-equiv", "").lower() == "content-type":
            sanitise.drop(meta)
    head.insert(0, etree.Element("meta", charset="utf-8"))


def _check_places(root: etree._Element, standins: StandIns) -> None:
    """The tree must agree with the lexer on where fields stand: lxml mends broken markup in its own way."""
    for element in root.iter(etree.Element):
        if element.tag == "style" and standins.has(element.text or ""):
            raise _misplaced()
        for name, value in element.attrib.items():
            if standins.has(str(name)) or (standins.has(str(value)) and not _may_stand(str(name), str(value), standins)):
                raise _misplaced()


def _may_stand(name: str, value: str, standins: StandIns) -> bool:
    held = [node for nodes in standins.held(value) for node in nodes]
    if name not in URL_ATTRIBUTES:
        return name not in ("style", "srcset")
    if any(isinstance(node, OwnUrl) for node in held[1:]):
        return False
    return all(isinstance(node, OwnUrl) or (isinstance(node, Output) and node.context == "url") for node in held) and (
        isinstance(held[0], OwnUrl) or is_after_host(value.split(standins.prefix)[0], standins) if held else False
    )


def _check_conditions(root: etree._Element, standins: StandIns) -> None:
    parents: dict[str, object] = {}
    for comment in root.iter(etree.Comment):
        marker = standins.marker.fullmatch(comment.text or "")
        if marker and parents.setdefault(marker[2], comment.getparent()) is not comment.getparent():
            raise MergeError("condition_place", _("A condition must go around whole elements."), "content")
    if standins.choices_missing(etree.tostring(root, method="html", encoding="unicode")):
        raise MergeError("condition_place", _("A condition must go around whole elements."), "content")


def _misplaced() -> MergeError:
    return MergeError("field_place", _("A merge field stands where the page's markup is broken."), "content")

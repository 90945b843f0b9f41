"""Author's HTML without what no mail should carry: code, frames, forms, addresses of other schemes than web, mail and telephone."""

import re
from typing import Literal

from lxml import etree

from kairan.i18n import gettext as _
from mailer.compose.findings import ContentError, Finding
from mailer.compose.standins import URL_ATTRIBUTES, StandIns
from mailer.compose.stylesheet import harmless

SIZE_MAX = 1_000_000
DEPTH_MAX = 256
ATTRIBUTES_MAX = 200
"""of one element: 50,000 took 16 s"""
_CODE = {"script", "noscript", "iframe", "frame", "frameset", "noframes", "noembed", "object", "embed", "applet", "template", "canvas"}
_CONTROLS = {"input", "button", "select", "textarea", "option", "datalist", "dialog", "portal", "slot"}
_REMOVED = frozenset({*_CODE, *_CONTROLS, "base", "link", "svg", "math", "xmp", "plaintext"})
_UNWRAPPED = frozenset({"form", "fieldset", "legend", "label"})
# They have no end tag; the parser may have put what follows into them.
_VOID = frozenset({"embed", "input", "base", "link"})
_REMOVED_ATTRIBUTES = frozenset({"srcdoc", "ping", "nonce", "integrity", "data-lid", "data-premailer", "contenteditable", "is"})
_KEPT_META = frozenset({"content-type", "x-ua-compatible"})
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_IMAGE_SCHEMES = frozenset({"http", "https"})
_IGNORED_BY_BROWSERS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_CONDITIONAL_COMMENT = re.compile(r"\s*(?:\[if\b|<!\[endif)", re.IGNORECASE)
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def parsed(html: str) -> etree._Element:
    """The page's root element. Raises ContentError for what is too large, too deep or no HTML at all."""
    if len(html.encode(errors="replace")) > SIZE_MAX:
        raise ContentError("too_large", _("The content is larger than 1 MB."))
    parser = etree.HTMLParser(remove_pis=True, no_network=True)
    try:
        root = etree.fromstring(_as_document(_NOT_XML.sub("", html)), parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise ContentError("not_html", _("The content cannot be read as HTML.")) from error
    if root is None:
        raise ContentError("empty", _("The content is empty."))
    if any("Excessive depth" in entry.message or "depth" in entry.message for entry in parser.error_log) or _depth(root) > DEPTH_MAX:
        raise ContentError("too_deep", _("The content is nested more than %(limit)s levels deep.", limit=DEPTH_MAX))
    return root


def section(root: etree._Element, name: Literal["head", "body"]) -> etree._Element:
    """The page's head or body, made where it has none."""
    found = root.find(name)
    if found is None:
        found = etree.Element(name)
        root.insert(0 if name == "head" else len(root), found)
    return found


def sanitise(root: etree._Element, standins: StandIns) -> list[Finding]:
    """Changes the tree in place; what was taken out, as warnings."""
    removed: set[str] = set()
    section(root, "head")
    section(root, "body")
    for element in list(root.iter()):
        if isinstance(element, etree._Comment):
            if not standins.marker.fullmatch(element.text or "") and not _CONDITIONAL_COMMENT.match(element.text or ""):
                drop(element)
        elif not isinstance(element.tag, str):
            drop(element)
        else:
            _element(element, removed)
    return [
        Finding("warning", "removed", _("`%(what)s` was taken out: it does not work in mail or is not safe.", what=what), "content")
        for what in sorted(removed)
    ]


def scheme(url: str) -> str:
    """The scheme as a browser would see it, in small letters; empty for a relative address."""
    found = _SCHEME.match(_IGNORED_BY_BROWSERS.sub("", url))
    return found[1].lower() if found else ""


def escape_style_tags(root: etree._Element) -> None:
    """Once more after premailer has written into them."""
    for element in root.iter("style"):
        element.text = harmless(element.text or "")


def _element(element: etree._Element, removed: set[str]) -> None:
    tag = str(element.tag).lower()
    if tag in _REMOVED or (tag == "meta" and element.get("http-equiv", "content-type").lower() not in _KEPT_META):
        removed.add(f"<{tag}>")
        (_unwrap if tag in _VOID else drop)(element)
        return
    if len(element.attrib) > ATTRIBUTES_MAX:
        raise ContentError("too_large", _("An element has more than %(limit)s attributes.", limit=ATTRIBUTES_MAX))
    for name in list(element.attrib):
        _attribute(element, str(name), removed)
    if tag == "style":
        if "@import" in (element.text or "").lower():
            removed.add("@import")
        element.text = harmless(element.text or "")
    if tag in _UNWRAPPED:
        if tag == "form":
            removed.add("<form>")
        _unwrap(element)


def _attribute(element: etree._Element, name: str, removed: set[str]) -> None:
    lowered, value = name.lower(), str(element.attrib[name])
    if lowered.startswith("on") or lowered in _REMOVED_ATTRIBUTES or not re.fullmatch(r"[a-z_][a-z0-9_.:-]*", lowered):
        if lowered.startswith("on"):
            removed.add(lowered)
        del element.attrib[name]
    elif lowered in URL_ATTRIBUTES:
        allowed = _LINK_SCHEMES if lowered == "href" else _IMAGE_SCHEMES
        if scheme(value) and scheme(value) not in allowed:
            removed.add(f"{scheme(value)}:")
            del element.attrib[name]
        else:
            element.attrib[name] = value.strip()
    elif lowered == "srcset":
        if any(scheme(candidate) not in _IMAGE_SCHEMES for candidate in value.split(",") if candidate.strip()):
            del element.attrib[name]
    elif lowered == "style":
        element.attrib[name] = harmless(value)


def _as_document(html: str) -> str:
    """A fragment gets a body: a marker before its first element would else land outside of it."""
    if re.search(r"<(?:html|body|head)[\s>]", html, re.IGNORECASE):
        return html
    doctype = re.match(r"\s*<!doctype[^>]*>", html, re.IGNORECASE)
    start = doctype.end() if doctype else 0
    return f"{html[:start]}<html><head></head><body>{html[start:]}</body></html>"


def _depth(root: etree._Element) -> int:
    deepest, level = 0, 0
    for event, _element_seen in etree.iterwalk(root, events=("start", "end")):
        level += 1 if event == "start" else -1
        deepest = max(deepest, level)
    return deepest


def drop(element: etree._Element) -> None:
    """The element with all in it, but not the text after it."""
    parent = element.getparent()
    if parent is None:
        return
    _keep_text(element, parent, element.tail)
    parent.remove(element)


def _unwrap(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is None:
        return
    _keep_text(element, parent, element.text)
    for child in list(element):
        element.addprevious(child)
    _keep_text(element, parent, element.tail)
    parent.remove(element)


def _keep_text(element: etree._Element, parent: etree._Element, text: str | None) -> None:
    if not text:
        return
    before = element.getprevious()
    if before is None:
        parent.text = (parent.text or "") + text
    else:
        before.tail = (before.tail or "") + text

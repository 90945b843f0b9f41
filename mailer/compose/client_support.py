"""What the mails that go out ask of mail programs, held against caniemail's tests (caniemail.com, MIT; cut down by frontend/build.js).

Only what carries layout or content is told: a corner that is not round in Outlook harms nobody. Rules in @media and @supports, and
Outlook's own conditional comments, are additions, and not looked at.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import tinycss2
from lxml import etree

from kairan import resources

DATA = "mailer/static/dist/support.json"
PROGRAMS = {
    "gmail": "Gmail", "apple-mail": "Apple Mail", "outlook-windows": "Outlook (Windows)", "outlook-new": "Outlook (new)",
    "yahoo": "Yahoo Mail",
}  # fmt: skip
log = logging.getLogger(__name__)

# Feature of caniemail → how it is seen in a declaration "name:value", in lower case. What is lost with each: place, size or words.
_DECLARATIONS = {
    "css-display-flex": r"display:(?:inline-)?flex",
    "css-display-grid": r"display:(?:inline-)?grid",
    "css-position": r"position:(?:absolute|fixed|sticky|relative)",
    "css-column-count": r"(?:column-count|columns):\d",
    "css-background-image": r"background(?:-image)?:.*url\(",
    "css-linear-gradient": r"background(?:-image)?:.*linear-gradient\(",
    "css-radial-gradient": r"background(?:-image)?:.*radial-gradient\(",
    "css-variables": r"[^:]+:.*var\(",
    "css-function-clamp": r"[^:]+:.*clamp\(",
    "css-function-light-dark": r"[^:]+:.*light-dark\(",
    "css-function-max": r"[^:]+:.*(?<![\w-])max\(",
    "css-function-min": r"[^:]+:.*(?<![\w-])min\(",
    "css-unit-calc": r"[^:]+:.*calc\(",
    "css-unit-vh": r"[^:]+:.*\d(?:vh|dvh)\b",
    "css-unit-vw": r"(?!max-width)[^:]+:.*\dvw\b",
    "css-transform": r"transform:(?!none)",
    "css-clip-path": r"clip-path:(?!none)",
    "css-writing-mode": r"writing-mode:vertical",
    "css-object-fit": r"object-fit:(?:cover|contain)",
    "css-text-orientation": r"text-orientation:",
}
_ELEMENTS = {
    "audio": "html-audio", "button": "html-button-submit", "dialog": "html-dialog", "form": "html-form", "marquee": "html-marquee",
    "meter": "html-meter", "object": "html-object", "progress": "html-progress", "select": "html-select", "svg": "html-svg",
    "textarea": "html-textarea", "video": "html-video",
}  # fmt: skip
_PICTURES = {
    "apng": "image-apng", "avif": "image-avif", "bmp": "image-bmp", "heic": "image-heif", "heif": "image-heif", "ico": "image-ico",
    "mp4": "image-mp4", "svg": "image-svg", "tif": "image-tiff", "tiff": "image-tiff", "webp": "image-webp",
}  # fmt: skip
_SEEN = {slug: re.compile(pattern) for slug, pattern in _DECLARATIONS.items()}


@dataclass(frozen=True, slots=True)
class Unsupported:
    """`feature` as caniemail calls it, `title` for people, and the programs (keys of PROGRAMS) that do not show it."""

    feature: str
    title: str
    programs: tuple[str, ...]


def check(root: etree._Element) -> list[Unsupported]:
    """Of a page as it goes out: inlined and sanitised. Empty where the data was not built."""
    known = _data()
    used = sorted(set(_used(root)) & set(known))
    return [Unsupported(slug, known[slug]["title"], tuple(known[slug]["not"])) for slug in used]


def _used(root: etree._Element) -> Iterator[str]:
    for element in root.iter(etree.Element):
        tag = str(element.tag)
        if tag in _ELEMENTS:
            yield _ELEMENTS[tag]
        if tag == "img":
            yield from _picture(element.get("src", ""))
        if tag == "style":
            yield from _sheet(element.text or "")
        yield from _declared(tinycss2.parse_declaration_list(element.get("style", ""), skip_comments=True, skip_whitespace=True))


def _picture(source: str) -> Iterator[str]:
    if source.lower().startswith("data:"):
        yield "image-base64"
    kind = re.search(r"\.([a-z0-9]{2,5})(?:[?#]|$)", source.lower())
    if kind and kind[1] in _PICTURES:
        yield _PICTURES[kind[1]]


def _sheet(css: str) -> Iterator[str]:
    for rule in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if rule.type == "qualified-rule":
            yield from _declared(tinycss2.parse_declaration_list(rule.content, skip_comments=True, skip_whitespace=True))


def _declared(declarations: list[Any]) -> Iterator[str]:
    for each in declarations:
        if each.type == "declaration":
            said = f"{each.lower_name}:{tinycss2.serialize(each.value).strip().lower()}"
            yield from (slug for slug, seen in _SEEN.items() if seen.match(said))


@cache
def _data() -> dict[str, Any]:
    try:
        return dict(json.loads(resources.path(DATA).read_text("utf-8"))["features"])
    except FileNotFoundError:
        log.warning("mail programs are not checked: the assets are not built")
        return {}

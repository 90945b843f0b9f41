"""Every link position of a mail, in document order: its number, whether an image or a text is clicked, its label and its target.

Two links to one address are two positions: the report says which image or which text was clicked.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from lxml import etree

from mailer.compose.merge import Scope, parse
from mailer.compose.program import render
from mailer.compose.recipient import Recipient
from mailer.compose.sanitise import scheme
from mailer.compose.standins import StandIns

LABEL_MAX = 200
NUMBER = "data-lid"


@dataclass(frozen=True, slots=True)
class LinkPosition:
    """`url` may hold merge fields in its path or query; resolve() fills them in at the click."""

    number: int
    kind: Literal["image", "text"]
    label: str
    url: str


def number(root: etree._Element, standins: StandIns, first: int) -> list[LinkPosition]:
    """Number the web links of the page from `first`; each anchor keeps its number in `data-lid` until it is written out."""
    positions: list[LinkPosition] = []
    for anchor in root.iter("a", "area"):
        url = standins.source(anchor.get("href", ""))
        if is_web(url):
            position = LinkPosition(first + len(positions), *_what(anchor, standins, url), url)
            anchor.set(NUMBER, str(position.number))
            positions.append(position)
    return positions


def is_web(url: str) -> bool:
    """Whether it is an http(s) address with a host."""
    if scheme(url) not in ("http", "https"):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def resolve(url: str, recipient: Recipient, attribute_names: frozenset[str]) -> str:
    """The target of a click by this member. Raises MergeError when a field of it is gone."""
    return render(parse(url, Scope(attribute_names), "link", "url"), recipient)


def text_of(element: etree._Element) -> str:
    """All text in it, without comments."""
    return str(element.xpath("string()"))


def _what(anchor: etree._Element, standins: StandIns, url: str) -> tuple[Literal["image", "text"], str]:
    text = _shortened(standins.source(text_of(anchor)))
    if text:
        return "text", text
    image = next(anchor.iter("img"), None)
    if image is None and anchor.tag != "area":
        return "text", _shortened(url)
    source = image if image is not None else anchor
    return "image", _shortened(standins.source(source.get("alt", ""))) or _shortened(url)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LABEL_MAX else text[: LABEL_MAX - 1] + "…"

"""The plain-text part, written from the page: headings, lists, `label <address>`, texts of images; layout tables are ignored."""

import re
from collections.abc import Callable

from lxml import etree

from mailer.compose.standins import StandIns

_SKIPPED = frozenset({"head", "style", "script", "title"})
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "div", "dl", "dt", "dd", "figure", "footer", "header", "main"}
    | {"html", "li", "nav", "ol", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "hr"}
)
_HEADINGS = {"h1": "=", "h2": "-"}
_INVISIBLE = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all|visibility\s*:\s*hidden", re.IGNORECASE)
# Preheaders are padded with these; they say nothing in a text.
_PADDING = re.compile("[\u034f\u200b\u200c\u200d\u2007\u00ad\ufeff]{2,}|[\u034f\u00ad]")
_BLANKS = re.compile(r"[ \t\r\n\f\u00a0]+")

LinkText = Callable[[etree._Element], str]


def write(root: etree._Element, standins: StandIns, address: LinkText) -> str:
    """The text, with stand-ins; `address` gives what stands for a link, empty for none."""
    return _Writer(standins, address).written(root)


class _Writer:
    def __init__(self, standins: StandIns, address: LinkText) -> None:
        self.standins = standins
        self.address = address
        self.done: list[str] = []
        self.line: list[str] = []
        self.waiting = ""
        self.gap = ""
        self.indents: list[str] = []
        self.counters: list[int | None] = []

    def written(self, root: etree._Element) -> str:
        self._element(root)
        self._close("")
        return "".join(self.done) + self.waiting + "\n"

    def _element(self, element: etree._Element) -> None:
        if isinstance(element, etree._Comment):
            self._marker(element.text or "")
        elif isinstance(element.tag, str) and not self._is_hidden(element):
            self._tag(element, element.tag)

    def _is_hidden(self, element: etree._Element) -> bool:
        return element.tag in _SKIPPED or bool(_INVISIBLE.search(element.get("style", "")))

    def _tag(self, element: etree._Element, tag: str) -> None:
        if tag == "br":
            self.line.append("\n")
        elif tag == "img":
            self.line.append(_BLANKS.sub(" ", element.get("alt", "")))
        elif tag == "a":
            self._anchor(element)
        elif tag == "hr":
            self._block_text("-" * 40)
        elif tag in _BLOCKS:
            self._block(element, tag)
        else:
            self._children(element)

    def _block(self, element: etree._Element, tag: str) -> None:
        gap = "\n" if tag in ("li", "tr", "dt", "dd", "td", "th", "tbody", "thead") else "\n\n"
        self._close(gap)
        if tag in ("ul", "ol"):
            self.counters.append(1 if tag == "ol" else None)
            self._children(element)
            self._close(gap)
            self.counters.pop()
        elif tag == "li":
            self._item(element)
        elif tag == "blockquote":
            self._indented(element, "> ", "> ")
        else:
            self._children(element)
            self._close(gap, underline=_HEADINGS.get(tag, ""))

    def _item(self, element: etree._Element) -> None:
        counter = self.counters[-1] if self.counters else None
        bullet = "- " if counter is None else f"{counter}. "
        if counter is not None:
            self.counters[-1] = counter + 1
        self._gap_now()
        self.waiting += "".join(self.indents) + bullet
        self._indented(element, " " * len(bullet), None)

    def _indented(self, element: etree._Element, indent: str, first: str | None) -> None:
        if first:
            self._gap_now()
            self.waiting += "".join(self.indents) + first
        self.indents.append(indent)
        self._children(element)
        self._close("\n" if first is None else "\n\n")
        self.indents.pop()

    def _anchor(self, element: etree._Element) -> None:
        start = len(self.line)
        self._children(element)
        label = " ".join("".join(self.line[start:]).split())
        address = self.address(element)
        if address and label != address:
            self.line.append(f" <{address}>" if label else f"<{address}>")

    def _children(self, element: etree._Element) -> None:
        self._words(element.text)
        for child in element:
            self._element(child)
            self._words(child.tail)

    def _words(self, text: str | None) -> None:
        if text:
            self.line.append(_BLANKS.sub(" ", _PADDING.sub("", text)))

    def _marker(self, text: str) -> None:
        """A condition's marker stands right before the block after it, so that a branch not taken leaves no gap."""
        if not self.standins.marker.fullmatch(text):
            return
        if "".join(self.line).strip():
            self.line.append(text)
        else:
            self.line.clear()
            self._gap_now()
            self.waiting += text

    def _block_text(self, text: str) -> None:
        self._close("\n\n")
        self.line.append(text)
        self._close("\n\n")

    def _gap_now(self) -> None:
        if self.done and self.gap and not self.waiting:
            self.done.append(self.gap)
            self.gap = ""

    def _close(self, gap: str, underline: str = "") -> None:
        """End the line that is being written; the widest gap asked for since then stands before the next one."""
        lines = [" ".join(part.split(" ")).strip() for part in re.sub(" {2,}", " ", "".join(self.line)).split("\n")]
        self.line.clear()
        text = ("\n" + "".join(self.indents)).join(lines).strip()
        if text:
            self._gap_now()
            lead = self.waiting if self.waiting and not self._only_markers() else self.waiting + "".join(self.indents)
            self.done.append(lead + text + self._underline(lines[-1], underline))
            self.waiting = self.gap = ""
        if len(gap) > len(self.gap):
            self.gap = gap

    def _underline(self, line: str, character: str) -> str:
        """As long as the line where no field stands in it: a field counts for nothing, its value is not known."""
        return f"\n{character * _width(self.standins.without(line))}" if character else ""

    def _only_markers(self) -> bool:
        return not self.standins.marker.sub("", self.waiting)


def _width(text: str) -> int:
    """Columns of a line: a Japanese character takes two."""
    return min(40, max(3, sum(2 if ord(character) > 0x2E80 else 1 for character in text)))

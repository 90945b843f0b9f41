"""The author's own plain text: its fields and its web addresses, which are tracked by the number of the HTML link they repeat."""

import re
from collections.abc import Mapping
from dataclasses import replace

from mailer.compose import footer, merge
from mailer.compose.links import LinkPosition
from mailer.compose.nodes import Choice, Node, Nodes, Output, Text, joined
from mailer.compose.page import Layout, click, has_unsubscribe
from mailer.compose.program import clean
from mailer.compose.source import Source, scope
from mailer.compose.standins import written_constants

# An address ends at a blank, a bracket or a quote, also at Japanese ones, and not in the point that ends its sentence.
_ADDRESS = re.compile(r"https?://[^\s<>\"'()\[\]（）「」『』【】、。]*[^\s<>\"'()\[\]（）「」『』【】、。.,;:!?]", re.IGNORECASE)
_OPEN_ADDRESS = re.compile(r"https?://[^\s<>\"'（）「」、。]*$", re.IGNORECASE)


def read(source: Source) -> Nodes:
    """Raises MergeError."""
    nodes = written_constants(merge.parse(clean(source.text or ""), scope(source), "text", "text"))
    return _urls_encoded(nodes)


def links(nodes: Nodes, first: int) -> list[LinkPosition]:
    """The web addresses of a mail that is text alone, each position a link."""
    found = [address for text in _texts(nodes) for address in _ADDRESS.findall(text)]
    return [LinkPosition(first + place, "text", address[:200], address) for place, address in enumerate(found)]


def body(source: Source, nodes: Nodes, positions: list[LinkPosition], layout: Layout) -> Nodes:
    """Addresses by position in a text mail, by address beside HTML; our footer where the author has no opt-out."""
    if layout.tracked:
        nodes = _Tracker(source, positions).tracked(nodes)
    after = () if has_unsubscribe(nodes) else footer.text(source.organisation, layout.language, own_links=layout.own_links)
    return joined([*nodes, Text("\n"), *after])


class _Tracker:
    def __init__(self, source: Source, positions: list[LinkPosition]) -> None:
        self.base_url = source.base_url
        self.in_order = None if source.has_html else iter(positions)
        self.by_url: Mapping[str, int] = {position.url: position.number for position in reversed(positions)}

    def tracked(self, nodes: Nodes) -> Nodes:
        done: list[Node] = []
        for place, node in enumerate(nodes):
            if isinstance(node, Text):
                goes_on = place + 1 < len(nodes) and isinstance(nodes[place + 1], Output)
                done += self._text(node.text, goes_on)
            elif isinstance(node, Choice):
                branches = tuple((condition, self.tracked(branch)) for condition, branch in node.branches)
                done.append(Choice(branches, self.tracked(node.otherwise)))
            else:
                done.append(node)
        return joined(done)

    def _text(self, text: str, goes_on: bool) -> list[Node]:
        done: list[Node] = []
        position = 0
        for match in _ADDRESS.finditer(text):
            number = self._number(match.group())
            if number is None or (goes_on and match.end() == len(text)):
                continue
            done += [Text(text[position : match.start()]), *click(self.base_url, number)]
            position = match.end()
        return [*done, Text(text[position:])]

    def _number(self, address: str) -> int | None:
        if self.in_order is None:
            return self.by_url.get(address)
        position = next(self.in_order, None)
        return position.number if position else None


def _texts(nodes: Nodes) -> list[str]:
    """In the order in which a tracker meets them."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, Text):
            found.append(node.text)
        elif isinstance(node, Choice):
            for _condition, branch in node.branches:
                found += _texts(branch)
            found += _texts(node.otherwise)
    return found


def _urls_encoded(nodes: Nodes) -> Nodes:
    """A value right after an unfinished address is part of it."""
    done: list[Node] = []
    for node in nodes:
        before = done[-1] if done else None
        if isinstance(node, Output) and _is_in_address(before):
            done.append(replace(node, context="url"))
        elif isinstance(node, Choice):
            branches = tuple((condition, _urls_encoded(branch)) for condition, branch in node.branches)
            done.append(Choice(branches, _urls_encoded(node.otherwise)))
        else:
            done.append(node)
    return tuple(done)


def _is_in_address(before: Node | None) -> bool:
    if isinstance(before, Text):
        return bool(_OPEN_ADDRESS.search(before.text))
    return isinstance(before, Output) and before.context == "url"

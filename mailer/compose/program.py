"""A whole mail, compiled once: static fragments and slots, spliced for one recipient in a few microseconds.

The wire form holds what SMTP wants and needs no further pass: CRLF, 7-bit, body lines of at most 76 columns, no dot and no `From ` at
column 0, a CRLF at the end, no final dot.
"""

import json
import re
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

from mailer.compose import nodes as node_codec
from mailer.compose.expressions import test, text_reader
from mailer.compose.mail_headers import clean as clean_header
from mailer.compose.mail_headers import mailbox, unstructured
from mailer.compose.nodes import Choice, Context, HeaderText, Mark, Node, Nodes, NotAProgram, Output, OwnUrl, Text, ToHeader
from mailer.compose.quoted_printable import SOFT_BREAK, quoted
from mailer.compose.recipient import Marks, Recipient

__all__ = ["Marks", "NotAProgram", "Piece", "Program", "Recipient", "render", "render_text"]

VERSION = 1
# Names and towns repeat; an address or a sentence does not. 4,096 short values are under a megabyte a slot.
_MEMO_SIZE = 4096
_MEMO_LENGTH = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_RARE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Piece = Callable[[Recipient, Marks], bytes]


class Program:
    """`splice(recipient, marks)` gives the mail's bytes. Raises AddressError when the member's address cannot be mailed."""

    __slots__ = ("nodes", "splice")

    splice: Piece

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.splice = _Generator().function(nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.nodes == other.nodes

    def __hash__(self) -> int:
        return hash(self.nodes)

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, "nodes": node_codec.as_json(self.nodes)}, ensure_ascii=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, stored: str) -> "Program":
        """Raises NotAProgram."""
        try:
            read = json.loads(stored)
        except ValueError as error:
            raise NotAProgram(str(error)) from error
        if not isinstance(read, dict) or read.get("version") != VERSION:
            raise NotAProgram("a program of another version")
        try:
            return cls(node_codec.from_json(read.get("nodes")))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise NotAProgram(str(error)) from error


def wire(nodes: Nodes) -> Nodes:
    """A body's nodes with their texts quoted: each one begins and ends at column 0."""
    return tuple(_wire(node) for node in nodes)


def clean(text: str) -> str:
    """A value as it may stand in a body: line breaks are `\\n`, other control characters are gone."""
    if not _RARE.search(text):
        return text
    text = _SURROGATE.sub("�", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", text)


def written(context: Context, text: str) -> str:
    """The value escaped for where it stands."""
    if context == "header":
        return clean_header(text)
    text = clean(text)
    if context == "html":
        return escape(text)
    return quote(text, safe="") if context == "url" else text


def render(nodes: Nodes, recipient: Recipient, marks: Marks | None = None) -> str:
    """The nodes as text, one by one: for previews, and the reference the splice is tested against. Without marks they are left out."""
    return "".join(_rendered(node, recipient, marks) for node in nodes)


def render_text(nodes: Nodes) -> Callable[[Recipient], str]:
    """The same for a header's value, as a function made once: no marks."""
    parts = [_text_part(node) for node in nodes]
    return lambda recipient: "".join([part(recipient) for part in parts])


def _wire(node: Node) -> Node:
    if isinstance(node, Text):
        return Text(quoted(node.text.encode()).decode())
    if isinstance(node, Choice):
        return Choice(tuple((condition, wire(branch)) for condition, branch in node.branches), wire(node.otherwise))
    return node


def _rendered(node: Node, recipient: Recipient, marks: Marks | None) -> str:
    if isinstance(node, Mark):
        return getattr(marks, node.name).decode() if marks else ""
    if isinstance(node, Choice):
        return render(_chosen(node, recipient), recipient, marks)
    return "#" if isinstance(node, OwnUrl) else _text_part(node)(recipient)


def _chosen(choice: Choice, recipient: Recipient) -> Nodes:
    for condition, branch in choice.branches:
        if test(condition)(recipient):
            return branch
    return choice.otherwise


def _text_part(node: Node) -> Callable[[Recipient], str]:
    match node:
        case Text(text):
            return lambda recipient: text
        case Output(context, value):
            read = text_reader(value)
            return lambda recipient: written(context, read(recipient))
        case Choice(branches, otherwise):
            tests = [(test(condition), render_text(branch)) for condition, branch in branches]
            last = render_text(otherwise)
            return lambda recipient: next((part for holds, part in tests if holds(recipient)), last)(recipient)
        case HeaderText(nodes, column):
            whole = render_text(nodes)
            return lambda recipient: unstructured(whole(recipient), column)
        case ToHeader():
            return lambda recipient: mailbox(recipient.name, recipient.email, len("To: "))
    raise NotAProgram(f"{type(node).__name__} has no place here")


class _Generator:
    """Writes one function for a program. Its source is made of our own indices; whatever was stored reaches it as values only."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"JOIN": b"".join}
        self.slots: dict[str, int] = {}
        self.top: set[int] = set()

    def function(self, nodes: Nodes) -> Piece:
        items = self._items(nodes, top=True)
        lines = [f"    v{slot} = f{slot}(recipient, marks)" for slot in sorted(self.top)]
        arguments = ", ".join(f"{name}={name}" for name in self.names)
        source = "\n".join([f"def splice(recipient, marks, *, {arguments}):", *lines, f"    return JOIN(({items}))"])
        exec(compile(source, "<program>", "exec"), self.names)
        made: Piece = self.names["splice"]
        return made

    def _items(self, nodes: Nodes, *, top: bool) -> str:
        return "".join(f"{self._item(node, top=top)}, " for node in nodes)

    def _item(self, node: Node, *, top: bool) -> str:
        if isinstance(node, Text):
            return self._name("s", node.text.encode())
        if isinstance(node, Choice):
            return self._choice(node)
        # By its text: Value(1) equals Value(True), and they are written differently.
        slot = self.slots.setdefault(repr(node), len(self.slots))
        if f"f{slot}" not in self.names:
            self.names[f"f{slot}"] = _piece(node)
        if top:
            self.top.add(slot)
        return f"v{slot}" if slot in self.top else f"f{slot}(recipient, marks)"

    def _choice(self, choice: Choice) -> str:
        written = ""
        for condition, branch in choice.branches:
            written += f"{self._joined(branch)} if {self._name('c', test(condition))}(recipient) else "
        return f"({written}{self._joined(choice.otherwise)})"

    def _joined(self, nodes: Nodes) -> str:
        return f"JOIN(({self._items(nodes, top=False)}))"

    def _name(self, prefix: str, value: object) -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name


def _piece(node: Node) -> Piece:
    if isinstance(node, Mark):
        return _mark(node.name, SOFT_BREAK if node.wrapped else b"")
    if isinstance(node, ToHeader):
        part = _text_part(node)
        return lambda recipient, marks: part(recipient).encode()
    if isinstance(node, HeaderText):
        column = node.column
        return _remembered(render_text(node.nodes), lambda text: unstructured(text, column).encode())
    if isinstance(node, Output) and node.context != "header":
        context = node.context
        return _remembered(text_reader(node.value), lambda text: quoted(written(context, text).encode()))
    raise NotAProgram(f"{type(node).__name__} has no place on the wire")


def _mark(name: str, closing: bytes) -> Piece:
    def mark(recipient: Recipient, marks: Marks) -> bytes:
        value: bytes = getattr(marks, name)
        return value + closing

    return mark


def _remembered(read: Callable[[Recipient], str], encode: Callable[[str], bytes]) -> Piece:
    memo: dict[str, bytes] = {}

    def value(recipient: Recipient, marks: Marks) -> bytes:
        text = read(recipient)
        known = memo.get(text)
        if known is not None:
            return known
        made = encode(text)
        if len(text) <= _MEMO_LENGTH:
            if len(memo) >= _MEMO_SIZE:
                memo.clear()
            memo[text] = made
        return made

    return value

"""The pieces a compiled mail is made of, in text form while it is composed and in wire form in a Program; as JSON in a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mailer.compose.expressions import ARGUMENTS, MEMBER_FIELDS, OPERATORS, Condition, Filter, Value

Context = Literal["html", "url", "text", "header"]
"""where a value stands, fixed when the mail is compiled, and with it how the value is escaped"""
MarkName = Literal["trace", "act", "message_id", "date"]
CONTEXTS: frozenset[str] = frozenset(get_args(Context))
MARKS: frozenset[str] = frozenset(get_args(MarkName))
DEPTH_MAX = 20
COLUMN_MAX = 40


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    context: Context
    value: Value


@dataclass(frozen=True, slots=True)
class Mark:
    """One of the recipient's Marks; `wrapped` in a body, where a soft break must follow it."""

    name: MarkName
    wrapped: bool = True


@dataclass(frozen=True, slots=True)
class OwnUrl:
    """One of our own addresses while composing; the compiler turns it into Text and Mark, a preview into `#`."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The first branch whose condition holds, else `otherwise`."""

    branches: "tuple[tuple[Condition, Nodes], ...]"
    otherwise: "Nodes" = ()


@dataclass(frozen=True, slots=True)
class HeaderText:
    """A whole header value that holds values of the member: put together first, encoded then. `column`: length of `Name: `."""

    nodes: "Nodes"
    column: int


@dataclass(frozen=True, slots=True)
class ToHeader:
    """Name and address of the recipient."""


Node = Text | Output | Mark | OwnUrl | Choice | HeaderText | ToHeader
Nodes = tuple[Node, ...]


class NotAProgram(ValueError):
    """The stored text is not a program of a version we read."""


def joined(nodes: Iterable[Node]) -> Nodes:
    """The same with neighbouring texts put together and empty ones gone."""
    done: list[Node] = []
    for node in nodes:
        if not isinstance(node, Text):
            done.append(node)
        elif done and isinstance(done[-1], Text):
            done[-1] = Text(done[-1].text + node.text)
        elif node.text:
            done.append(node)
    return tuple(done)


def as_json(nodes: Nodes) -> list[Any]:
    return [_node_json(node) for node in nodes]


def from_json(stored: object, depth: int = 0) -> Nodes:
    """Raises NotAProgram for anything that as_json does not write."""
    if not isinstance(stored, list) or depth > DEPTH_MAX:
        raise NotAProgram("a list of nodes was expected")
    try:
        return tuple(_node(item, depth) for item in stored)
    except (TypeError, IndexError, KeyError, ValueError) as error:
        raise NotAProgram(str(error)) from error


def _node_json(node: Node) -> Any:
    match node:
        case Text(text):
            return text
        case Output(context, value):
            return ["value", context, _value_json(value)]
        case Mark(name, wrapped):
            return ["mark", name, wrapped]
        case Choice(branches, otherwise):
            return ["if", [[_condition_json(condition), as_json(branch)] for condition, branch in branches], as_json(otherwise)]
        case HeaderText(nodes, column):
            return ["header", as_json(nodes), column]
        case ToHeader():
            return ["to"]
    raise NotAProgram(f"{node!r} is not for the wire")


def _value_json(value: Value) -> list[Any]:
    return [value.field, value.constant, [[step.name, *step.arguments] for step in value.filters]]


def _condition_json(condition: Condition) -> list[Any]:
    operands = [
        ["is", _condition_json(operand)] if isinstance(operand, Condition) else ["value", _value_json(operand)]
        for operand in condition.operands
    ]
    return [condition.operator, operands]


def _node(item: Any, depth: int) -> Node:
    if isinstance(item, str):
        return Text(item)
    match item:
        case ["value", str(context), value] if context in CONTEXTS:
            return Output(context, _value(value))  # type: ignore[arg-type]  # looked up in CONTEXTS
        case ["mark", str(name), bool(wrapped)] if name in MARKS:
            return Mark(name, wrapped)  # type: ignore[arg-type]  # looked up in MARKS
        case ["if", list(branches), list(otherwise)]:
            return Choice(
                tuple((_condition(condition), from_json(branch, depth + 1)) for condition, branch in branches),
                from_json(otherwise, depth + 1),
            )
        case ["header", list(nodes), int(column)] if 0 < column <= COLUMN_MAX:
            return HeaderText(from_json(nodes, depth + 1), column)
        case ["to"]:
            return ToHeader()
    raise NotAProgram("an unknown node")


def _value(stored: Any) -> Value:
    field, constant, filters = stored
    if field is not None and field not in MEMBER_FIELDS and not str(field).startswith("attributes."):
        raise NotAProgram(f"an unknown field {field!r}")
    if any(not ARGUMENTS[name][0] <= len(arguments) <= ARGUMENTS[name][1] for name, *arguments in filters):
        raise NotAProgram("a filter with other arguments")
    return Value(field, constant, tuple(Filter(name, tuple(arguments)) for name, *arguments in filters))


def _condition(stored: Any) -> Condition:
    operator, operands = stored
    if operator not in OPERATORS | {"truthy", "not", "and", "or"}:
        raise NotAProgram(f"an unknown operator {operator!r}")
    read = tuple(_condition(operand) if kind == "is" else _value(operand) for kind, operand in operands)
    return Condition(operator, read)

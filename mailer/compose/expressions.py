"""What a merge field or a condition says of a member, as values that are stored as JSON and evaluated without Liquid.

One difference from Liquid: an empty text is false, since a marketer who writes `{% if member.first_name %}` means "if we know it".
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from operator import ge, gt, le, lt
from typing import Any

from mailer.compose.recipient import Recipient

Scalar = str | int | float | bool | None
MEMBER_FIELDS = frozenset({"email", "first_name", "last_name", "name", "locale"})
OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "contains"})


@dataclass(frozen=True, slots=True)
class Filter:
    name: str
    arguments: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """A member's field, or a constant where `field` is None, and the filters it goes through."""

    field: str | None
    constant: Scalar = None
    filters: tuple[Filter, ...] = ()

    @property
    def has_fallback(self) -> bool:
        return self.field is None or any(step.name == "default" for step in self.filters)


@dataclass(frozen=True, slots=True)
class Condition:
    """`operator` is truthy, not, and, or, or one of OPERATORS; `operands` are Values or Conditions as it needs."""

    operator: str
    operands: "tuple[Value | Condition, ...]"


Read = Callable[[Recipient], Any]
Test = Callable[[Recipient], bool]


def as_text(value: object) -> str:
    """How a value stands in a mail; nothing is an empty text, a list is joined by commas."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(as_text(item) for item in value)
    return str(value)


def reader(value: Value) -> Read:
    """The field's value after its filters."""
    read = _source(value)
    for step in value.filters:
        read = partial(_filtered, read, FILTERS[step.name], step.arguments)
    return read


def text_reader(value: Value) -> Callable[[Recipient], str]:
    read = reader(value)
    return lambda recipient: as_text(read(recipient))


def test(condition: Condition) -> Test:
    """The condition as a function of the recipient."""
    operator, operands = condition.operator, condition.operands
    if operator in ("and", "or", "not"):
        return _logical(operator, [test(_condition(operand)) for operand in operands])
    reads = [reader(_value(operand)) for operand in operands]
    if operator == "truthy":
        only = reads[0]
        return lambda recipient: is_true(only(recipient))
    left, right = reads
    compare = _COMPARE[operator]
    return lambda recipient: compare(left(recipient), right(recipient))


def is_true(value: object) -> bool:
    return not (value is None or value is False or value == "" or value == [])


def _source(value: Value) -> Read:
    if value.field is None:
        constant = value.constant
        return lambda recipient: constant
    if value.field.startswith("attributes."):
        key = value.field.removeprefix("attributes.")
        return lambda recipient: recipient.attributes.get(key)
    if value.field not in MEMBER_FIELDS:
        raise ValueError(f"there is no member field {value.field!r}")
    return partial(_attribute, value.field)


def _attribute(name: str, recipient: Recipient) -> Any:
    return getattr(recipient, name)


def _filtered(read: Read, apply: Callable[..., Any], arguments: tuple[Scalar, ...], recipient: Recipient) -> Any:
    return apply(read(recipient), *arguments)


def _logical(operator: str, tests: list[Test]) -> Test:
    if operator == "not":
        only = tests[0]
        return lambda recipient: not only(recipient)
    left, right = tests
    if operator == "and":
        return lambda recipient: left(recipient) and right(recipient)
    return lambda recipient: left(recipient) or right(recipient)


def _condition(operand: "Value | Condition") -> Condition:
    if not isinstance(operand, Condition):
        raise ValueError("a condition was expected")
    return operand


def _value(operand: "Value | Condition") -> Value:
    if not isinstance(operand, Value):
        raise ValueError("a value was expected")
    return operand


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        # An attribute imported from CSV is the text "true"; the author writes == true.
        return as_text(left).casefold() == as_text(right).casefold()
    numbers = _numbers(left, right)
    if numbers is not None:
        return numbers[0] == numbers[1]
    return as_text(left) == as_text(right)


def _numbers(left: Any, right: Any) -> tuple[float, float] | None:
    """Both as numbers where at least one was written as one and the other reads as one."""
    if isinstance(left, str) and isinstance(right, str):
        return None
    try:
        return float(left), float(right)
    except (TypeError, ValueError, OverflowError):
        return None


def _ordered(operator: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    numbers = _numbers(left, right)
    if numbers is not None:
        return operator(*numbers)
    return isinstance(left, str) and isinstance(right, str) and operator(left, right)


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple):
        return any(as_text(item) == as_text(right) for item in left)
    return as_text(right) in as_text(left)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "contains": _contains,
    "<": partial(_ordered, lt),
    ">": partial(_ordered, gt),
    "<=": partial(_ordered, le),
    ">=": partial(_ordered, ge),
}


def _default(value: Any, fallback: Scalar) -> Any:
    return value if is_true(value) and as_text(value).strip() else fallback


def _truncate(value: Any, length: Scalar = 50, ending: Scalar = "...") -> str:
    text, end = as_text(value), as_text(ending)
    limit = int(length) if isinstance(length, int | float) else 50
    return text if len(text) <= limit else text[: max(0, limit - len(end))] + end


def _date(value: Any, pattern: Scalar) -> str:
    """A date of ISO 8601 written by strftime codes; what is not a date stays as it is."""
    text = as_text(value).strip()
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(text)
        return moment.strftime(as_text(pattern))
    except (ValueError, OverflowError):
        return text


FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "upcase": lambda value: as_text(value).upper(),
    "downcase": lambda value: as_text(value).lower(),
    "capitalize": lambda value: as_text(value).capitalize(),
    "truncate": _truncate,
    "date": _date,
}
ARGUMENTS: dict[str, tuple[int, int]] = {
    "default": (1, 1),
    "upcase": (0, 0),
    "downcase": (0, 0),
    "capitalize": (0, 0),
    "truncate": (0, 2),
    "date": (1, 1),
}
"""least and most number of arguments"""

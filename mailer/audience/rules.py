"""The rule of a segment: groups of all, any or none, nested, over what is known of a member. Read from JSON, checked, written back.

    {"all": [{"field": "attributes.plan", "op": "is", "value": "gold"}, {"none": [{"field": "list", "op": "in", "value": "7"}]}]}

What each operator means stands in docs/segments.md; mailer.audience.rule_sql says it in SQL.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kairan import mail_domains
from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext
from kairan.models.audience import Format, Recording
from mailer.audience import attributes

DEPTH_MAX = 5
RULES_MAX = 100
PARTS_MAX = 2 * RULES_MAX
"""rules and groups together"""
TEXT_MAX = 200
TEXTS_MAX = 100
NUMBER_MAX = 10**15
YEARS = (1800, 2999)
"""of dates in a rule: none of them is near the end of the calendar"""
DAYS_MAX = 36_500
ANNIVERSARY_DAYS_MAX = 365
CAMPAIGNS_MAX = 50
GROUPS = ("all", "any", "none")
ATTRIBUTE = "attributes."
"""what the field of an attribute begins with"""

Path = tuple[int, ...]
"""which part of which part: () is the outermost group"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One rule. `value` is what OPERATORS[op] reads."""

    field: str
    op: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Group:
    """`kind`: all, any or none of the parts hold."""

    kind: str
    parts: tuple["Group | Leaf", ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place, in a sentence that says what to do."""

    path: Path
    part: str
    """field, op, value, or empty for a group"""
    message: str


@dataclass(slots=True)
class RuleRefused(ValueError):
    """A document that is no rule."""

    faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(fault.message for fault in self.faults)


class _Wrong(ValueError):
    """Of a value: the message."""


# ---- what values there are


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise _Wrong(_("Enter a text."))
    text = given.strip()
    if len(text) > TEXT_MAX:
        raise _Wrong(_("At most %(count)s characters.", count=TEXT_MAX))
    if any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise _Wrong(_("One line only, without control characters."))
    return text


def _texts(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise _Wrong(_("Enter at least one value."))
    if len(given) > TEXTS_MAX:
        raise _Wrong(_("At most %(count)s values.", count=TEXTS_MAX))
    return tuple(dict.fromkeys(_text(each) for each in given))


def _number(given: Any) -> int | float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) <= NUMBER_MAX:
        raise _Wrong(_("Enter a number, such as 20 or 3.5."))
    return given


def _between(given: Any) -> tuple[int | float, int | float]:
    if not isinstance(given, list) or len(given) != 2:
        raise _Wrong(_("Enter two numbers, the smaller one first."))
    low, high = _number(given[0]), _number(given[1])
    if low > high:
        raise _Wrong(_("Enter two numbers, the smaller one first."))
    return low, high


def _day(given: Any) -> date:
    try:
        if not isinstance(given, str) or len(given) != 10:
            raise ValueError
        day = date.fromisoformat(given)
        if not YEARS[0] <= day.year <= YEARS[1]:
            raise ValueError
        return day
    except ValueError:
        raise _Wrong(_("Enter a date, such as 2026-11-24.")) from None


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
            raise _Wrong(_("Enter a whole number from %(least)s to %(most)s.", least=least, most=most))
        return given

    return read


def _id(given: Any) -> int:
    if not isinstance(given, str) or not given.isascii() or not given.isdigit() or len(given) > 18:
        raise _Wrong(_("Choose one."))
    return int(given)


def _nothing(given: Any) -> None:
    if given is not None:
        raise _Wrong(_("This takes no value."))


@dataclass(frozen=True, slots=True)
class Shape:
    """How a value is read from JSON; `name` is what forms go by."""

    name: str
    read: Callable[[Any], Any]


_TEXT, _TEXTS, _DAY = Shape("text", _text), Shape("texts", _texts), Shape("date", _day)
_NUMBER, _BETWEEN, _ID, _NOTHING = Shape("number", _number), Shape("numbers", _between), Shape("id", _id), Shape("nothing", _nothing)
_DAYS = Shape("days", _whole(1, DAYS_MAX))

OPERATORS: dict[str, Shape] = {
    "is": _TEXT, "is_not": _TEXT, "contains": _TEXT, "begins_with": _TEXT, "one_of": _TEXTS, "is_empty": _NOTHING, "is_not_empty": _NOTHING,
    "equals": _NUMBER, "less": _NUMBER, "more": _NUMBER, "between": _BETWEEN,
    "on": _DAY, "before": _DAY, "after": _DAY, "in_next": _DAYS, "in_last": _DAYS, "older_than": _DAYS,
    "anniversary": Shape("days", _whole(0, ANNIVERSARY_DAYS_MAX)),
    "yes": _NOTHING, "no": _NOTHING,
    "in": _ID, "not_in": _ID,
    "given": _TEXT, "not_given": _TEXT,
    "recently": Shape("campaigns", _whole(1, CAMPAIGNS_MAX)), "since": _DAY, "link": _TEXT,
    "was": _ID, "was_not": _ID,
}  # fmt: skip
TEXT_OPS = ("is", "is_not", "contains", "begins_with", "one_of", "is_empty", "is_not_empty")
NUMBER_OPS = ("equals", "less", "more", "between")
DATE_OPS = ("on", "before", "after", "in_next", "in_last", "older_than", "anniversary")
YES_NO_OPS = ("yes", "no")
ATTRIBUTE_OPS = (*TEXT_OPS, *NUMBER_OPS, *DATE_OPS, *YES_NO_OPS)
_CHOICE_OPS = ("is", "is_not")
FIELDS: dict[str, tuple[str, ...]] = {
    "email": TEXT_OPS,
    "domain": ("is", "is_not", "one_of"),
    "first_name": TEXT_OPS,
    "last_name": TEXT_OPS,
    "locale": TEXT_OPS,
    "time_zone": TEXT_OPS,
    "format": _CHOICE_OPS,
    "recording": _CHOICE_OPS,
    "created_at": ("on", "before", "after", "in_last", "older_than"),
    "provider": _CHOICE_OPS,
    "list": ("in", "not_in"),
    "consent": ("given", "not_given"),
    "opened": ("recently", "since"),
    "clicked": ("recently", "since", "link"),
    "did_nothing": ("recently",),
    "received": ("was", "was_not"),
}
"""field → its operators; of an attribute: ATTRIBUTE_OPS"""
CHOICES: dict[str, tuple[str, ...]] = {
    "format": tuple(Format),
    "recording": tuple(Recording),
    "provider": tuple(mail_domains.READY),
}


def operators(name: str) -> tuple[str, ...]:
    """Of a field; empty where there is no such field."""
    if name.startswith(ATTRIBUTE):
        return ATTRIBUTE_OPS
    return FIELDS.get(name, ())


# ---- reading


@dataclass(slots=True)
class _Reading:
    faults: list[Fault] = field(default_factory=list)
    rules: int = 0
    parts: int = 0

    def wrong(self, path: Path, part: str, message: str) -> None:
        self.faults.append(Fault(path, part, message))


def read(document: object) -> Group:
    """Raises RuleRefused with every fault."""
    reading = _Reading()
    if not _is_group(document):
        raise RuleRefused([Fault((), "", _("A rule is a group: an object with “all”, “any” or “none” and a list."))])
    found = _part(document, (), reading)
    if reading.rules > RULES_MAX or reading.parts > PARTS_MAX:
        raise RuleRefused([Fault((), "", _("A segment has at most %(count)s rules.", count=RULES_MAX))])
    if reading.faults:
        raise RuleRefused(reading.faults)
    assert isinstance(found, Group)
    return found


def _is_group(document: object) -> bool:
    return isinstance(document, dict) and len(document) == 1 and next(iter(document)) in GROUPS


def _part(document: object, path: Path, reading: _Reading) -> Group | Leaf:
    reading.parts += 1
    if reading.parts > PARTS_MAX:
        return Leaf("", "")
    if _is_group(document):
        assert isinstance(document, dict)
        ((kind, parts),) = document.items()
        return _group(kind, parts, path, reading)
    reading.rules += 1
    if not isinstance(document, dict) or not {"field", "op"} <= document.keys() <= {"field", "op", "value"}:
        reading.wrong(path, "", _("A rule has a field, an op and a value."))
        return Leaf("", "")
    return _leaf(document, path, reading)


def _group(kind: str, parts: object, path: Path, reading: _Reading) -> Group:
    if not isinstance(parts, list) or not parts:
        reading.wrong(path, "", _("A group needs a rule. Add one, or remove the group."))
        return Group(kind, ())
    if len(path) >= DEPTH_MAX:
        reading.wrong(path, "", _("Groups stand at most %(count)s deep.", count=DEPTH_MAX))
        return Group(kind, ())
    return Group(kind, tuple(_part(each, (*path, at), reading) for at, each in enumerate(parts[:PARTS_MAX])))


def _leaf(document: Mapping[str, Any], path: Path, reading: _Reading) -> Leaf:
    name, op, value = document["field"], document["op"], document.get("value")
    if not isinstance(name, str) or not _is_field(name):
        reading.wrong(path, "field", _("Choose what the rule is about."))
        return Leaf("", "")
    if not isinstance(op, str) or op not in operators(name):
        reading.wrong(path, "op", _("Choose how it is compared."))
        return Leaf(name, "")
    try:
        return Leaf(name, op, _value(name, op, value))
    except _Wrong as wrong:
        reading.wrong(path, "value", str(wrong))
        return Leaf(name, op)


def _is_field(name: str) -> bool:
    if not name.startswith(ATTRIBUTE):
        return name in FIELDS
    try:
        attributes.check_name(name.removeprefix(ATTRIBUTE))
    except attributes.AttributeRefused:
        return False
    return True


def _value(name: str, op: str, given: Any) -> Any:
    value = OPERATORS[op].read(given)
    if name in CHOICES and value not in CHOICES[name]:
        raise _Wrong(_("Choose one."))
    return value


def document(part: Group | Leaf) -> dict[str, Any]:
    """As it is kept and shown; `read` gives back the same."""
    if isinstance(part, Group):
        return {part.kind: [document(each) for each in part.parts]}
    if part.value is None:
        return {"field": part.field, "op": part.op}
    return {"field": part.field, "op": part.op, "value": _written(part)}


def _written(leaf: Leaf) -> Any:
    if isinstance(leaf.value, tuple):
        return list(leaf.value)
    if isinstance(leaf.value, date):
        return leaf.value.isoformat()
    return str(leaf.value) if OPERATORS[leaf.op] is _ID else leaf.value


# ---- what a rule names


def leaves(part: Group | Leaf, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(part, Leaf):
        yield path, part
        return
    for at, each in enumerate(part.parts):
        yield from leaves(each, (*path, at))


GONE = {
    "list": lazy_gettext("a list that is not there any more"),
    "consent": lazy_gettext("a purpose that there is not"),
    "received": lazy_gettext("a campaign that there is not"),
    "attribute": lazy_gettext("an attribute that is not there any more"),
}
"""kind of thing that a rule names → what is said where it is missing"""


def named(rule: Group) -> Iterator[tuple[Path, str, int | str]]:
    """(place, key of GONE, id or name) of each thing outside the member that the rule speaks of."""
    for path, leaf in leaves(rule):
        if leaf.field.startswith(ATTRIBUTE):
            yield path, "attribute", leaf.field.removeprefix(ATTRIBUTE)
        elif leaf.field in GONE:
            yield path, leaf.field, leaf.value

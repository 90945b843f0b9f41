"""A segment's rule in SQL, as a condition on a row of `members`, with the same answer on SQLite and PostgreSQL.

Every rule is true or false, never NULL: what is missing or of another type fits no comparison, so `none` and `is_not` are plain
negations.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Float,
    Numeric,
    String,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import TEXT

from kairan import mail_domains
from kairan.models.audience import Member, Purpose, Subscription
from kairan.models.consent import Permission
from mailer.audience import rule_acts, rule_days
from mailer.audience.rule_days import At
from mailer.audience.rule_texts import Asked, Condition, Text, compared, ends_with, fold, folded, plain
from mailer.audience.rules import ATTRIBUTE, DATE_OPS, NUMBER_OPS, YES_NO_OPS, Group, Leaf
from unsubscribe.allowed import any_row, suppressed

YES, NO = ("true", "yes", "1"), ("false", "no", "0")
"""texts that a file may say for yes and no"""
NUMBER_TEXT_MAX = 15
"""characters of a text that is taken for a number: so many digits are exact in every database"""


def condition(rule: Group, at: At, *, sqlite: bool, walked: bool = False) -> Condition:
    """Who fits. `walked`: the statement looks at members one by one, in pieces."""
    return _part(rule, Asked(at, sqlite, walked))


def _part(part: Group | Leaf, asked: Asked) -> Condition:
    if isinstance(part, Leaf):
        return _leaf(part, asked)
    parts = [_part(each, asked) for each in part.parts]
    if part.kind == "all":
        return and_(true(), *parts)
    found = or_(false(), *parts)
    return found if part.kind == "any" else not_(found)


def _leaf(leaf: Leaf, asked: Asked) -> Condition:
    if leaf.field.startswith(ATTRIBUTE):
        return _attribute(leaf, asked)
    if leaf.field in _COLUMNS:
        return compared(leaf, func.coalesce(_COLUMNS[leaf.field], ""), asked)
    return _RULES[leaf.field](leaf, asked)


# ---- texts

_COLUMNS: dict[str, Any] = {
    name: getattr(Member, name) for name in ("email", "first_name", "last_name", "locale", "time_zone", "format", "recording")
}


def _domain(leaf: Leaf, asked: Asked) -> Condition:
    wanted = leaf.value if leaf.op == "one_of" else (leaf.value,)
    email = folded(Member.email, asked)
    found = or_(*(ends_with(email, "@" + fold(each).removeprefix("@"), asked) for each in wanted))
    return not_(found) if leaf.op == "is_not" else found


def _provider(leaf: Leaf, asked: Asked) -> Condition:
    """A domain below one of the group's belongs to it too."""
    email = folded(Member.email, asked)
    ends = [sign + domain for domain in mail_domains.READY[leaf.value].domains for sign in "@."]
    found = or_(*(ends_with(email, end, asked) for end in ends))
    return not_(found) if leaf.op == "is_not" else found


# ---- attributes


class _Value(NamedTuple):
    """What a member's JSON holds under one name: its type by this database's word, and the value as a text."""

    kind: Text
    text: Text


def _attribute(leaf: Leaf, asked: Asked) -> Condition:
    value = _value(leaf.field.removeprefix(ATTRIBUTE), asked)
    is_text = value.kind == ("text" if asked.sqlite else "string")
    if leaf.op in NUMBER_OPS:
        return _number(leaf, value, is_text, asked)
    text = case((is_text, value.text), else_="")
    if leaf.op in DATE_OPS:
        return case((is_text & _is_date(value.text, asked), _date(leaf, plain(value.text, asked), asked.at)), else_=false())
    if leaf.op in YES_NO_OPS:
        wanted = YES if leaf.op == "yes" else NO
        return or_(and_(_is_boolean(value, asked), _is_truth(value, wanted[0], asked)), folded(text, asked).in_(wanted))
    if leaf.op in ("is_empty", "is_not_empty"):
        found = or_(func.coalesce(value.kind, "null") == "null", and_(is_text, value.text == ""))
        empty = func.coalesce(found, false())
        return not_(empty) if leaf.op == "is_not_empty" else empty
    return compared(leaf, func.coalesce(text, ""), asked)


def _value(name: str, asked: Asked) -> _Value:
    """`name` was checked: small letters, digits and _ alone."""
    if asked.sqlite:
        path = f"$.{name}"
        return _Value(func.json_type(Member.attributes, path), func.json_extract(Member.attributes, path, type_=String))
    found = Member.attributes.op("->")(literal(name, TEXT))
    return _Value(func.jsonb_typeof(found), Member.attributes.op("->>", return_type=TEXT())(literal(name, TEXT)))


def _is_boolean(value: _Value, asked: Asked) -> Condition:
    return func.coalesce(value.kind.in_(("true", "false")) if asked.sqlite else value.kind == "boolean", false())


def _is_truth(value: _Value, wanted: str, asked: Asked) -> Condition:
    return func.coalesce((value.kind if asked.sqlite else value.text) == wanted, false())


def _number(leaf: Leaf, value: _Value, is_text: Condition, asked: Asked) -> Condition:
    """A JSON number, or a text that is one in plain digits, as files bring them."""
    is_number = value.kind.in_(("integer", "real")) if asked.sqlite else value.kind == "number"
    reads = or_(is_number, and_(is_text, _is_number(value.text, asked)))
    number: Any = cast(value.text, Float if asked.sqlite else Numeric)
    return case((reads, _compared(leaf, number, asked)), else_=false())


def _is_number(text: Text, asked: Asked) -> Condition:
    short = func.length(text) <= NUMBER_TEXT_MAX
    if not asked.sqlite:
        return and_(short, plain(text, asked).regexp_match(r"^-?[0-9]+(\.[0-9]+)?$"))
    glob = text.op("GLOB", is_comparison=True)
    begins, ends = or_(glob("[0-9]*"), glob("-[0-9]*")), glob("*[0-9]")
    return and_(short, begins, ends, not_(glob("*[^-0-9.]*")), not_(glob("?*-*")), not_(glob("*.*.*")))


def _compared(leaf: Leaf, number: Any, asked: Asked) -> Condition:
    def exact(given: int | float) -> ColumnElement[Any]:
        return bindparam(None, float(given), Float()) if asked.sqlite else bindparam(None, Decimal(repr(given)), Numeric())

    if leaf.op == "between":
        return and_(number >= exact(leaf.value[0]), number <= exact(leaf.value[1]))
    wanted = exact(leaf.value)
    found: dict[str, Condition] = {"equals": number == wanted, "less": number < wanted, "more": number > wanted}
    return found[leaf.op]


# ---- dates


def _is_date(text: Text, asked: Asked) -> Condition:
    if asked.sqlite:
        return text.op("GLOB", is_comparison=True)("[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]")
    return plain(text, asked).regexp_match("^[0-9]{4}-[01][0-9]-[0-3][0-9]$")


def _date(leaf: Leaf, text: Text, at: At) -> Condition:
    """Texts of the form 2026-11-24 are in the order of the days they name."""
    if leaf.op == "anniversary":
        spans = rule_days.anniversaries(at.today, leaf.value)
        return or_(*(func.substr(text, 6, 5).between(first, last) for first, last in spans))
    first, last = rule_days.days(leaf, at.today)
    return and_(true(), *([text >= first.isoformat()] if first else []), *([text <= last.isoformat()] if last else []))


def _created_at(leaf: Leaf, asked: Asked) -> Condition:
    first, last = rule_days.days(leaf, asked.at.today)
    since = [Member.created_at >= asked.at.begins(first)] if first else []
    until = [Member.created_at < asked.at.begins(last + timedelta(days=1))] if last else []
    return and_(true(), *since, *until)


# ---- lists, consent


def _list(leaf: Leaf, asked: Asked) -> Condition:
    where = Subscription.member_id == Member.id, Subscription.list_id == leaf.value, Subscription.ended_at.is_(None)
    found = any_row(*where, walked=asked.walked)
    return found if leaf.op == "in" else not_(found)


def _consent(leaf: Leaf, asked: Asked) -> Condition:
    """May be mailed for the purpose: the consent holds, and nothing stops all mail."""
    given = any_row(
        Permission.member_id == Member.id,
        Permission.purpose_id == Purpose.id,
        Purpose.name == leaf.value,
        Permission.withdrawn_at.is_(None),
        walked=asked.walked,
    )
    found = and_(given, Member.suspended_at.is_(None), not_(Member.awaiting_guardian), suppressed().is_(None))
    return found if leaf.op == "given" else not_(found)


_RULES: dict[str, Callable[[Leaf, Asked], Condition]] = {
    "domain": _domain,
    "provider": _provider,
    "created_at": _created_at,
    "list": _list,
    "consent": _consent,
    "opened": rule_acts.opened,
    "clicked": rule_acts.clicked,
    "did_nothing": rule_acts.did_nothing,
    "received": rule_acts.received,
}

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
    select,
    true,
)
from sqlalchemy.dialects.postgresql import TEXT

from kairan import mail_domains
from kairan.models.audience import Member, Purpose, Subscription
from kairan.models.consent import Permission
from kairan.models.suppression import Suppression
from mailer.audience import rule_acts, rule_days
from mailer.audience.rule_days import At
from mailer.audience.rule_texts import NEGATIONS, Asked, Condition, Text, compared, ends_with, fold, folded, plain
from mailer.audience.rules import ATTRIBUTE, DATE_OPS, NUMBER_OPS, YES_NO_OPS, Group, Leaf
from unsubscribe.allowed import any_row

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
    """What a member's JSON holds under one name: its type by this database's word, the value, and the value as a text."""

    kind: Text
    own: ColumnElement[Any]
    text: Text


def _attribute(leaf: Leaf, asked: Asked) -> Condition:
    """The value is compared first and its type looked at after, since most members fail the first: ->> and instr() raise nothing."""
    value = _value(leaf.field.removeprefix(ATTRIBUTE), asked)
    is_text = value.kind == ("text" if asked.sqlite else "string")
    if leaf.op in NUMBER_OPS:
        return _number(leaf, value, is_text, asked)
    if leaf.op in DATE_OPS:
        text = plain(value.text, asked)
        return _surely(_date(leaf, text, asked.at), _is_date(text, asked), is_text)
    if leaf.op in YES_NO_OPS:
        return _yes_or_no(YES if leaf.op == "yes" else NO, value, is_text, asked)
    if leaf.op in NEGATIONS:
        return not_(_attribute(Leaf(leaf.field, NEGATIONS[leaf.op], leaf.value), asked))
    if leaf.op == "is_empty":
        return or_(func.coalesce(value.kind, "null") == "null", _surely(value.text == "", is_text))
    return _surely(compared(leaf, value.text, asked), is_text)


def _surely(*conditions: Condition) -> Condition:
    """All of them, and never NULL."""
    found: Condition = func.coalesce(and_(*conditions), false())
    return found


def _value(name: str, asked: Asked) -> _Value:
    """`name` was checked: small letters, digits and _ alone."""
    if asked.sqlite:
        path = f"$.{name}"
        found: Any = func.json_extract(Member.attributes, path, type_=String)
        return _Value(func.json_type(Member.attributes, path), found, found)
    own = Member.attributes.op("->")(literal(name, TEXT))
    return _Value(func.jsonb_typeof(own), own, Member.attributes.op("->>", return_type=TEXT())(literal(name, TEXT)))


def _yes_or_no(texts: tuple[str, ...], value: _Value, is_text: Condition, asked: Asked) -> Condition:
    is_said = folded(value.text, asked).in_(texts)
    is_true = value.kind == texts[0] if asked.sqlite else and_(value.kind == "boolean", value.text == texts[0])
    return or_(_surely(is_true), _surely(is_said, is_text))


def _number(leaf: Leaf, value: _Value, is_text: Condition, asked: Asked) -> Condition:
    """A JSON number, or a text that is one in plain digits, as files bring them."""
    is_number = value.kind.in_(("integer", "real")) if asked.sqlite else value.kind == "number"
    kind: Any = Float if asked.sqlite else Numeric
    own, read = _compared(leaf, cast(value.own, kind), asked), _compared(leaf, cast(value.text, kind), asked)
    return case((is_number, own), (and_(is_text, _is_number(value.text, asked)), read), else_=false())


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
        return text.op("GLOB", is_comparison=True)("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]")
    return func.translate(text, "123456789", "000000000") == "0000-00-00"  # a third of what a regular expression costs


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
        Permission.purpose_id == select(Purpose.id).where(Purpose.name == leaf.value).scalar_subquery(),
        Permission.withdrawn_at.is_(None),
        walked=asked.walked,
    )
    suppressed = any_row(Suppression.address_key == Member.address_key, walked=asked.walked)
    found = and_(given, Member.suspended_at.is_(None), not_(Member.awaiting_guardian), not_(suppressed))
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

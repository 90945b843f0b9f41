"""What the pages call the fields and operators of a segment's rule, and the choices that they offer."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import mail_domains
from kairan.i18n import lazy_gettext as _
from kairan.models.audience import List, Purpose
from kairan.models.campaigns import Campaign
from mailer.audience import attributes, rules
from mailer.audience.rules import ATTRIBUTE
from mailer.web import words
from mailer.web.segment_form import Box, Row, rows

KINDS = {"all": _("All of these"), "any": _("At least one of these"), "none": _("None of these")}
_MEMBER = {
    "email": _("E-mail address"),
    "domain": _("Address domain"),
    "provider": _("Mail provider"),
    "first_name": _("First name"),
    "last_name": _("Last name"),
    "locale": _("Language"),
    "time_zone": _("Time zone"),
    "format": _("Form of the mails"),
    "recording": _("Opens and clicks"),
    "created_at": _("Member since"),
}
_CONSENT = {"list": _("List"), "consent": _("May be mailed")}
_ACTS = {
    "received": _("Received a campaign"),
    "opened": _("Opened or previewed"),
    "clicked": _("Clicked"),
    "did_nothing": _("No reaction"),
}
_OPS = {
    "is": _("is"),
    "is_not": _("is not"),
    "contains": _("contains"),
    "begins_with": _("begins with"),
    "one_of": _("is one of"),
    "is_empty": _("is empty"),
    "is_not_empty": _("is not empty"),
    "equals": _("equals (number)"),
    "less": _("is less than"),
    "more": _("is more than"),
    "between": _("is between"),
    "on": _("is on"),
    "before": _("is before"),
    "after": _("is after"),
    "in_next": _("within the next"),
    "in_last": _("within the last"),
    "older_than": _("longer ago than"),
    "anniversary": _("comes round within"),
    "yes": _("is yes"),
    "no": _("is no"),
    "in": _("is in"),
    "not_in": _("is not in"),
    "given": _("for the purpose"),
    "not_given": _("not for the purpose"),
    "recently": _("in the last received"),
    "since": _("since"),
    "link": _("a link that contains"),
    "was": _("this one"),
    "was_not": _("not this one"),
}
_OP_GROUPS = (
    (_("Text"), rules.TEXT_OPS),
    (_("Number"), rules.NUMBER_OPS),
    (_("Date"), rules.DATE_OPS),
    (_("Yes or no"), rules.YES_NO_OPS),
)
CAMPAIGNS_MAX = 200
"""the newest that may be chosen"""

Choice = tuple[str, object]
"""(value, label)"""


def fields(session: Session) -> list[tuple[object, list[Choice]]]:
    """(heading, choices) of what a rule may be about."""
    own: list[Choice] = [(ATTRIBUTE + row.name, row.label_ja or row.label_en or row.name) for row in attributes.known(session)]
    found: list[tuple[object, list[Choice]]] = [(_("Member"), list(_MEMBER.items()))]
    found += [(_("Attributes"), own)] if own else []
    return [*found, (_("Lists and consent"), list(_CONSENT.items())), (_("What members did"), list(_ACTS.items()))]


def operators(name: str) -> list[tuple[object, list[Choice]]]:
    """(heading, choices); one heading is none."""
    allowed = rules.operators(name)
    groups = [(heading, [(op, _OPS[op]) for op in ops if op in allowed]) for heading, ops in _OP_GROUPS]
    if name.startswith(ATTRIBUTE):
        return [(heading, list(ops)) for heading, ops in groups]
    return [("", [(op, _OPS[op]) for op in allowed])]


def values(session: Session, box: Box) -> dict[str, list[Choice]]:
    """Shape → what may be chosen, for the shapes that the form has; a thing that is gone stays choosable where it is chosen."""
    there = {row.shape for row in rows(box)}
    found: dict[str, list[Choice]] = {"format": list(words.FORMAT.items()), "recording": list(words.RECORDING.items())}
    found["provider"] = [(name, group.label) for name, group in mail_domains.READY.items()]
    if "list" in there:
        query = select(List.id, List.name).where(List.archived_at.is_(None)).order_by(List.name)
        found["list"] = [(str(number), name) for number, name in session.execute(query)]
    if "consent" in there:
        found["consent"] = [(name, name) for name in session.scalars(select(Purpose.name).order_by(Purpose.name))]
    if "received" in there:
        begun = select(Campaign.id, Campaign.name).where(Campaign.started_at.is_not(None)).order_by(Campaign.id.desc())
        found["received"] = [(str(number), name) for number, name in session.execute(begun.limit(CAMPAIGNS_MAX))]
    return found


def with_chosen(choices: Sequence[Choice], row: Row) -> list[Choice]:
    """What is chosen stays in sight, also where it is not there any more."""
    known = {value for value, _label in choices}
    gone: list[Choice] = [(row.value, row.value)] if row.value and row.value not in known else []
    return [*gone, *choices]


def unknown_field(row: Row, offered: Sequence[tuple[object, Sequence[Choice]]]) -> str:
    """The field of a row where it is not offered, such as an attribute that is gone."""
    return row.field if row.field and all(row.field != value for _heading, group in offered for value, _label in group) else ""

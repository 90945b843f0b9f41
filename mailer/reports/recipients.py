"""The recipients of a campaign with what became of their mail and what they did, a page at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement

PAGE_MAX = 1_000
_OPENED = Engagement.opens > 0
_CLICKED = Engagement.clicks > 0
FILTERS: dict[str, ColumnElement[bool]] = {
    "opened": _OPENED,
    "clicked": _CLICKED,
    "not_opened": and_(Delivery.state == State.ACCEPTED, ~_OPENED | Engagement.opens.is_(None)),
    **{state.name.lower(): Delivery.state == state for state in State},
}
"""what a page may be narrowed to; opened and clicked are people's"""


@dataclass(frozen=True, slots=True)
class RecipientFigures:
    number: int
    member_id: int
    email: str | None
    """None: the member is erased"""
    name: str
    state: str
    reason: str | None
    code: int | None
    reply: str | None
    ended_at: datetime | None
    opens: int
    clicks: int
    machine_opens: int
    machine_clicks: int
    last_at: datetime | None


def recipients(
    session: Session, campaign_id: int, *, chosen: str = "", found: ColumnElement[bool] | None = None, after: int = 0, limit: int = 50
) -> list[RecipientFigures]:
    """By number, from the one after `after`; `found` narrows by what is known of the member. Raises KeyError on a filter not in FILTERS."""
    query = (
        select(Delivery, Member.email, Member.first_name, Member.last_name, Member.locale, Engagement)
        .outerjoin(Member, Member.id == Delivery.member_id)
        .outerjoin(Engagement, and_(Engagement.campaign_id == Delivery.campaign_id, Engagement.number == Delivery.number))
        .where(Delivery.campaign_id == campaign_id, Delivery.number > after)
        .order_by(Delivery.number)
        .limit(min(limit, PAGE_MAX))
    )
    if chosen:
        query = query.where(FILTERS[chosen])
    if found is not None:
        query = query.where(found)
    return [_figures(*row) for row in session.execute(query)]


def _figures(delivery: Delivery, email: str | None, first: str | None, last: str | None, locale: str | None, did: Any) -> RecipientFigures:
    names = (last, first) if (locale or "").startswith("ja") else (first, last)
    return RecipientFigures(
        delivery.number,
        delivery.member_id,
        email,
        " ".join(part for part in names if part),
        State(delivery.state).name.lower(),
        delivery.reason,
        delivery.code,
        delivery.reply,
        delivery.ended_at,
        did.opens if did else 0,
        did.clicks if did else 0,
        did.machine_opens if did else 0,
        did.machine_clicks if did else 0,
        did.last_at if did else None,
    )

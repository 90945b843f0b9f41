"""Rules about what a member received and did: people's opens and clicks, of members who are recorded as themselves.

What was recorded without the member (their own choice, or the campaign's) is never looked at: such a member fits no rule here.
"""

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, or_, select

from kairan.models.audience import Format, Member, Recording
from kairan.models.campaigns import Campaign, Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement, Event, EventKind, LinkEngagement
from mailer.audience.rule_texts import Asked, fold, folded, holds
from mailer.audience.rules import Leaf
from unsubscribe.allowed import any_row

Condition = ColumnElement[bool]

_IS_KNOWN = Member.recording == Recording.IDENTIFIED


def received(leaf: Leaf, asked: Asked) -> Condition:
    where = Delivery.member_id == Member.id, Delivery.campaign_id == leaf.value, Delivery.state == State.ACCEPTED
    found = any_row(*where, walked=asked.walked)
    return found if leaf.op == "was" else not_(found)


def _latest(number: int, *, opens: bool, clicks: bool) -> Any:
    """The last campaigns that the member received and that recorded what is asked for."""
    recorded = [*([Campaign.record_opens] if opens else []), *([Campaign.record_clicks] if clicks else [])]
    found: Select[int, int] = (
        select(Delivery.campaign_id, Delivery.number)
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(Delivery.member_id == Member.id, Delivery.state == State.ACCEPTED, Campaign.recording == Recording.IDENTIFIED, *recorded)
        .order_by(Delivery.ended_at.desc().nulls_last(), Delivery.campaign_id.desc())
        .limit(number)
        .correlate(Member)
    )
    return found.subquery()


def _did_lately(number: int, act: Condition, asked: Asked, *, opens: bool = False, clicks: bool = False) -> Condition:
    """Who ever did it is found in one pass; only of those the last campaigns are looked up, one member at a time."""
    ever = any_row(Engagement.member_id == Member.id, act, walked=asked.walked)
    return and_(_IS_KNOWN, ever, _did(_latest(number, opens=opens, clicks=clicks), act))


def _did(latest: Any, *acts: Condition) -> Condition:
    rows = select(literal(1)).select_from(latest).join(Engagement, _same(latest)).where(or_(*acts)).correlate(Member)
    return rows.exists()


def _same(latest: Any) -> Condition:
    return and_(Engagement.campaign_id == latest.c.campaign_id, Engagement.number == latest.c.number)


def opened(leaf: Leaf, asked: Asked) -> Condition:
    if leaf.op == "since":
        return _event_since(EventKind.OPEN, leaf.value, asked)
    return _did_lately(leaf.value, Engagement.opens > 0, asked, opens=True)


def clicked(leaf: Leaf, asked: Asked) -> Condition:
    if leaf.op == "since":
        return _event_since(EventKind.CLICK, leaf.value, asked)
    if leaf.op == "link":
        return _clicked_link(leaf, asked)
    return _did_lately(leaf.value, Engagement.clicks > 0, asked, clicks=True)


def _event_since(kind: EventKind, day: date, asked: Asked) -> Condition:
    where = Event.member_id == Member.id, Event.kind == kind, Event.machine.is_(False), Event.occurred_at >= asked.at.begins(day)
    return and_(_IS_KNOWN, any_row(*where, walked=asked.walked))


def _clicked_link(leaf: Leaf, asked: Asked) -> Condition:
    clicked = any_row(
        Engagement.member_id == Member.id,
        LinkEngagement.campaign_id == Engagement.campaign_id,
        LinkEngagement.number == Engagement.number,
        LinkEngagement.clicks > 0,
        Link.campaign_id == LinkEngagement.campaign_id,
        Link.number == LinkEngagement.link,
        holds(folded(Link.url, asked), fold(leaf.value), asked),
        walked=asked.walked,
    )
    return and_(_IS_KNOWN, clicked)


def did_nothing(leaf: Leaf, asked: Asked) -> Condition:
    """Received so many campaigns that would have recorded it, and opened and clicked nothing in the last of them. Of a member whose
    mails are plain text, or who is not recorded, nobody knows."""
    latest = _latest(leaf.value, opens=True, clicks=True)
    received = select(func.count()).select_from(latest).correlate(Member).scalar_subquery()
    return and_(
        _IS_KNOWN, Member.format == Format.HTML, received == leaf.value, not_(_did(latest, Engagement.opens > 0, Engagement.clicks > 0))
    )

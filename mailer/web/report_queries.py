"""What a campaign's report page shows that mailer.reports does not give as such: recipients with what each did. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus, Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement, EventKind, Rollup
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.web import campaign_queries

HOURS = 48
FILTERS = ("opened", "clicked", "not_opened", "rejected", "uncertain", "suppressed")


@dataclass(frozen=True, slots=True)
class Totals:
    """People and machines apart."""

    people: int = 0
    machines: int = 0
    unique: int = 0
    anonymous: int = 0


@dataclass(frozen=True, slots=True)
class LinkRow:
    number: int
    kind: str
    label: str
    url: str
    clicks: int
    unique: int
    machines: int


def totals(session: Session, campaign_id: int) -> dict[str, Totals]:
    query = select(
        Rollup.kind,
        func.sum(Rollup.people),
        func.sum(Rollup.machines),
        func.sum(case((Rollup.kind == EventKind.CLICK, Rollup.unique_any), else_=Rollup.unique)),
        func.sum(Rollup.anonymous),
    )
    found = {
        EventKind(row[0]): Totals(*row[1:]) for row in session.execute(query.where(Rollup.campaign_id == campaign_id).group_by(Rollup.kind))
    }
    return {"opens": found.get(EventKind.OPEN, Totals()), "clicks": found.get(EventKind.CLICK, Totals())}


def leavers(session: Session, campaign_id: int) -> dict[str, int]:
    """Suppressions that came of this campaign's mail, by reason."""
    rows = session.execute(
        select(Suppression.reason, func.count()).where(Suppression.campaign_id == campaign_id).group_by(Suppression.reason)
    )
    found = {row[0]: row[1] for row in rows}
    return {reason: found.get(reason, 0) for reason in SuppressionReason}


def by_hour(session: Session, campaign: Campaign) -> tuple[list[int], list[int]]:
    """First opens and first clicks by people in each of the first 48 hours."""
    opens, clicks = [0] * HOURS, [0] * HOURS
    if campaign.started_at is None:
        return opens, clicks
    start = campaign.started_at.replace(minute=0, second=0, microsecond=0)
    rows = session.execute(
        select(Rollup.hour, Rollup.kind, func.sum(Rollup.unique), func.sum(Rollup.unique_any))
        .where(Rollup.campaign_id == campaign.id, Rollup.hour >= start, Rollup.hour < start + timedelta(hours=HOURS))
        .group_by(Rollup.hour, Rollup.kind)
    )
    for hour, kind, unique, unique_any in rows:
        place = int((hour - start).total_seconds() // 3600)
        if kind == EventKind.OPEN:
            opens[place] += unique
        else:
            clicks[place] += unique_any
    return opens, clicks


def links(session: Session, campaign_id: int) -> list[LinkRow]:
    """Each link position, the most clicked first; one that nobody clicked is there as well."""
    on = and_(Rollup.campaign_id == Link.campaign_id, Rollup.link == Link.number, Rollup.kind == EventKind.CLICK)
    clicks = func.coalesce(func.sum(Rollup.people), 0)
    rows = session.execute(
        select(Link, clicks, func.coalesce(func.sum(Rollup.unique), 0), func.coalesce(func.sum(Rollup.machines), 0))
        .outerjoin(Rollup, on)
        .where(Link.campaign_id == campaign_id)
        .group_by(*Link.__table__.columns)
        .order_by(clicks.desc(), Link.number)
    )
    return [LinkRow(row[0].number, row[0].kind, row[0].label, row[0].url, *row[1:]) for row in rows]


def recipients(session: Session, campaign_id: int, chosen: str, after: int | None, limit: int) -> Sequence[Any]:
    """(delivery, member or None, engagement or None), by number."""
    query = (
        select(Delivery, Member, Engagement)
        .outerjoin(Member, Member.id == Delivery.member_id)
        .outerjoin(Engagement, and_(Engagement.campaign_id == Delivery.campaign_id, Engagement.number == Delivery.number))
        .where(Delivery.campaign_id == campaign_id, Delivery.number > (after or 0))
        .order_by(Delivery.number)
        .limit(limit)
    )
    if chosen == "opened":
        query = query.where(Engagement.opens > 0)
    elif chosen == "clicked":
        query = query.where(Engagement.clicks > 0)
    elif chosen == "not_opened":
        query = query.where(Delivery.state == State.ACCEPTED, func.coalesce(Engagement.opens, 0) == 0)
    elif chosen:
        query = query.where(Delivery.state == State[chosen.upper()])
    return session.execute(query).all()


def usual(session: Session, campaign: Campaign) -> campaign_queries.Result | None:
    """The five sent campaigns before this one, taken together."""
    if campaign.started_at is None:
        return None
    earlier = session.scalars(
        select(Campaign.id)
        .where(Campaign.status == CampaignStatus.SENT, Campaign.started_at < campaign.started_at, Campaign.id != campaign.id)
        .order_by(Campaign.started_at.desc())
        .limit(5)
    ).all()
    results = campaign_queries.results(session, earlier).values()
    if not results:
        return None
    return campaign_queries.Result(
        sum(one.accepted for one in results), sum(one.opened for one in results), sum(one.clicked for one in results)
    )


def sent_campaigns(session: Session, after: int | None, limit: int) -> list[Campaign]:
    query = select(Campaign).where(Campaign.started_at.is_not(None)).order_by(Campaign.id.desc()).limit(limit)
    return list(session.scalars(query.where(Campaign.id < after) if after else query))


def growth(session: Session, now: datetime, weeks: int = 12) -> tuple[list[int], list[datetime]]:
    """Members at the end of each of the last weeks."""
    ends = [now - timedelta(weeks=weeks - 1 - place) for place in range(weeks)]
    columns = [func.count(case((Member.created_at <= end, 1))) for end in ends]
    return list(session.execute(select(*columns)).one()), ends

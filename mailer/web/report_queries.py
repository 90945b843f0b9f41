"""What report pages show that mailer.reports does not give as such: the usual, the first hours, growth. Reads only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.web import campaign_queries

HOURS = 48


def first_hours(started_at: datetime, by_hour: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """First opens and first clicks by people in each of the first 48 hours, from what mailer.reports.summary gives."""
    opens, clicks = [0] * HOURS, [0] * HOURS
    start = started_at.replace(minute=0, second=0, microsecond=0)
    for found in by_hour:
        place = int((found["hour"] - start).total_seconds() // 3600)
        if 0 <= place < HOURS:
            opens[place] += found["opens"]["unique"]
            clicks[place] += found["clicks"]["unique"]
    return opens, clicks


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

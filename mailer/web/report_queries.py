"""What report pages show that mailer.reports does not give as such: the campaigns before, growth. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.web import campaign_queries

LAST = 5


@dataclass(frozen=True, slots=True)
class Earlier:
    """A campaign that went out before, with its results."""

    campaign: Campaign
    result: campaign_queries.Result


def earlier(session: Session, campaign: Campaign) -> list[Earlier]:
    """The sent campaigns before this one, the last first."""
    if campaign.started_at is None:
        return []
    found = session.scalars(
        select(Campaign)
        .where(Campaign.status == CampaignStatus.SENT, Campaign.started_at < campaign.started_at, Campaign.id != campaign.id)
        .order_by(Campaign.started_at.desc())
        .limit(LAST)
    ).all()
    results = campaign_queries.results(session, [each.id for each in found])
    return [Earlier(each, results[each.id]) for each in found]


def usual(before: Sequence[Earlier]) -> campaign_queries.Result | None:
    """The campaigns before this one, taken together."""
    if not before:
        return None
    results = [each.result for each in before]
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

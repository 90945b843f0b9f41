"""The states of a campaign whose deliveries have all ended for good, written into its row: no page counts a million rows for them again."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.reports import tallies

OVER = (CampaignStatus.SENT, CampaignStatus.CANCELLED)
ENDED = frozenset(state.name.lower() for state in tallies.ENDED)


def of(session: Session, campaign_id: int) -> dict[str, int] | None:
    """None: something may still move (an uncertain delivery is settled by a person, or by its member's click)."""
    found = session.execute(select(Campaign.final_counts).where(Campaign.id == campaign_id)).scalar_one_or_none()
    return None if found is None else {str(state): int(count) for state, count in found.items()}


def missing(session: Session, limit: int = 20) -> list[int]:
    """Campaigns that are over and have none yet, the newest first."""
    query = select(Campaign.id).where(Campaign.status.in_(OVER), Campaign.final_counts.is_(None), Campaign.started_at.is_not(None))
    return list(session.scalars(query.order_by(Campaign.id.desc()).limit(limit)))


def counted(session: Session, campaign_id: int) -> dict[str, int] | None:
    """What is to be written: None while a delivery waits, is on its way or uncertain."""
    states = tallies.tally(session, campaign_id).states
    return states if all(not count or state in ENDED for state, count in states.items()) else None


def keep(session: Session, campaign_id: int, states: dict[str, int]) -> None:
    """Only of a campaign that is still over: one that a person has taken up again to send uncertain mails anew is not."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is not None and campaign.status in OVER:
        campaign.final_counts = dict(states)

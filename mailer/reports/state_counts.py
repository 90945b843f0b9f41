"""How many deliveries of a campaign stand in each state."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.models.deliveries import Delivery, State
from mailer.reports import final_counts, tallies


def state_counts(session: Session, campaign_id: int) -> dict[str, int]:
    """Every state by name, in the order of its life; about a second old, or as kept where all have ended. Their sum is the audience."""
    return final_counts.of(session, campaign_id) or tallies.tally(session, campaign_id).states


def fresh(session: Session, campaign_id: int) -> dict[str, int]:
    """The same by a scan of the campaign."""
    rows = session.execute(select(Delivery.state, func.count()).where(Delivery.campaign_id == campaign_id).group_by(Delivery.state))
    found = {state: count for state, count in rows}
    return {state.name.lower(): found.get(state, 0) for state in State}

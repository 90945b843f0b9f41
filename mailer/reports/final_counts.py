"""What a campaign's deliveries came to, written into its row when all have ended for good: no page counts a million rows for it again."""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import State
from mailer.reports import tallies
from mailer.reports.tallies import Problem, Tally

OVER = (CampaignStatus.SENT, CampaignStatus.CANCELLED)
ENDED = frozenset(state.name.lower() for state in tallies.ENDED)


@dataclass(frozen=True, slots=True)
class Ended:
    """States by name, replies by what they say, attempts by mail server, and when the first and the last mail were accepted."""

    states: dict[str, int]
    problems: list[Problem]
    providers: dict[int, dict[str, int]]
    went_out: tuple[datetime, datetime] | None


def of(session: Session, campaign_id: int) -> dict[str, int] | None:
    """The states. None: something may still move (an uncertain delivery is settled by a person, or by its member's click)."""
    found = _kept(session, campaign_id)
    return None if found is None else {str(state): int(count) for state, count in found["states"].items()}


def whole(session: Session, campaign_id: int) -> Ended:
    """As kept where all have ended, else as this process counts."""
    found = _kept(session, campaign_id)
    if found is None:
        return _of_tally(tallies.tally(session, campaign_id))
    problems = [Problem(**{**problem, "due_at": None}) for problem in found["problems"]]
    providers = {int(number): counts for number, counts in found["providers"].items()}
    times = [datetime.fromisoformat(moment) for moment in found["went_out"]]
    return Ended(found["states"], problems, providers, (times[0], times[1]) if times else None)


def _kept(session: Session, campaign_id: int) -> dict[str, Any] | None:
    return session.execute(select(Campaign.final_counts).where(Campaign.id == campaign_id)).scalar_one_or_none()


def _of_tally(tally: Tally) -> Ended:
    accepted = [group for key, group in tally.groups.items() if key.state == State.ACCEPTED]
    firsts = [group.first for group in accepted if group.first]
    lasts = [group.last for group in accepted if group.last]
    times = (min(firsts), max(lasts)) if firsts and lasts else None
    return Ended(tally.states, tally.problems(), tally.providers, times)


def missing(session: Session, limit: int = 20) -> list[int]:
    """Campaigns that are over and have none yet, the newest first."""
    query = select(Campaign.id).where(Campaign.status.in_(OVER), Campaign.final_counts.is_(None), Campaign.started_at.is_not(None))
    return list(session.scalars(query.order_by(Campaign.id.desc()).limit(limit)))


def counted(session: Session, campaign_id: int) -> Ended | None:
    """What is to be written: None while a delivery waits, is on its way or uncertain."""
    found = _of_tally(tallies.tally(session, campaign_id))
    return found if all(not count or state in ENDED for state, count in found.states.items()) else None


def keep(session: Session, campaign_id: int, ended: Ended) -> None:
    """Only of a campaign that is still over: one that a person has taken up again to send uncertain mails anew is not."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is not None and campaign.status in OVER:
        campaign.final_counts = {
            "states": ended.states,
            "problems": [{**asdict(problem), "due_at": None, "sample": _code(problem.sample)} for problem in ended.problems],
            "providers": {str(number): counts for number, counts in ended.providers.items()},
            "went_out": [moment.isoformat() for moment in ended.went_out or ()],
        }


def _code(sample: str | None) -> str | None:
    """The enhanced status code alone (RFC 3463): the words may hold a member's address, and an erasure would not find it here."""
    found = re.match(r"[245]\.\d{1,3}\.\d{1,3}", sample or "")
    return found.group() if found else None

"""What pages show about campaigns: lists, states, results. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from kairan.models.audience import List
from kairan.models.campaigns import Campaign, CampaignList, CampaignStatus, Revision
from kairan.models.deliveries import State
from kairan.models.events import EventKind, Rollup
from mailer.campaigns import labels
from mailer.reports.state_counts import state_counts

GOING_OUT = (CampaignStatus.SENDING, CampaignStatus.PAUSED)
TABS = {
    "draft": (CampaignStatus.DRAFT,),
    "scheduled": (CampaignStatus.SCHEDULED,),
    "sending": GOING_OUT,
    "sent": (CampaignStatus.SENT, CampaignStatus.CANCELLED),
}
FINAL = (State.ACCEPTED, State.REJECTED, State.UNCERTAIN, State.SUPPRESSED, State.CANCELLED, State.FAILED, State.EXPIRED)
BAR_ORDER = ("accepted", "uncertain", "deferred", "rejected", "failed", "expired", "suppressed", "cancelled", "sending", "queued")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many deliveries of a campaign are in each state."""

    states: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.states.get(name, 0)

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def ended(self) -> int:
        return sum(self[state.name.lower()] for state in FINAL)

    @property
    def parts(self) -> list[tuple[str, int]]:
        return [(name, self[name]) for name in BAR_ORDER]


@dataclass(frozen=True, slots=True)
class Going:
    """A campaign on its way, as the banner shows it."""

    id: int
    name: str
    status: str
    audience: int
    ended: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a sent campaign did, by people."""

    accepted: int = 0
    opened: int = 0
    clicked: int = 0

    @property
    def open_rate(self) -> float | None:
        return self.opened / self.accepted if self.accepted else None

    @property
    def click_rate(self) -> float | None:
        return self.clicked / self.accepted if self.accepted else None


def counts(session: Session, campaign_id: int) -> Counts:
    return Counts(state_counts(session, campaign_id))


def going_out(session: Session) -> list[Going]:
    rows = session.scalars(select(Campaign).where(Campaign.status == CampaignStatus.SENDING).order_by(Campaign.started_at).limit(5))
    return [going(session, campaign) for campaign in rows]


def going(session: Session, campaign: Campaign) -> Going:
    return Going(campaign.id, campaign.name, campaign.status, campaign.audience, counts(session, campaign.id).ended)


def results(session: Session, campaign_ids: Sequence[int]) -> dict[int, Result]:
    """From the roll-ups, and the tallies of this process: what has ended is counted once."""
    if not campaign_ids:
        return {}
    accepted = {number: state_counts(session, number)["accepted"] for number in campaign_ids}
    is_open = and_(Rollup.kind == EventKind.OPEN, Rollup.link == 0)
    sums = select(
        Rollup.campaign_id,
        func.sum(case((is_open, Rollup.unique), else_=0)),
        func.sum(case((Rollup.kind == EventKind.CLICK, Rollup.unique_any), else_=0)),
    )
    grouped = sums.where(Rollup.campaign_id.in_(campaign_ids)).group_by(Rollup.campaign_id)
    engaged = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(grouped)}
    return {number: Result(accepted.get(number, 0), *engaged.get(number, (0, 0))) for number in campaign_ids}


def listed(session: Session, tab: str, search: str, label: str, after: int | None, limit: int) -> list[Campaign]:
    query = select(Campaign).where(Campaign.status.in_(TABS[tab])).order_by(Campaign.id.desc()).limit(limit)
    if search:
        query = query.where(matches(search))
    if label:
        query = query.where(labels.has(label))
    if after:
        query = query.where(Campaign.id < after)
    return list(session.scalars(query))


def matches(search: str) -> ColumnElement[bool]:
    """Name or present subject contains it."""
    pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    in_subject = (
        select(Revision.campaign_id)
        .where(Revision.campaign_id == Campaign.id, Revision.number == Campaign.revision, Revision.subject.ilike(pattern, escape="\\"))
        .exists()
    )
    return or_(Campaign.name.ilike(pattern, escape="\\"), in_subject)


def tab_counts(session: Session, label: str = "") -> dict[str, int]:
    query = select(Campaign.status, func.count()).group_by(Campaign.status)
    if label:
        query = query.where(labels.has(label))
    found: dict[Any, int] = {row[0]: row[1] for row in session.execute(query)}
    return {tab: sum(found.get(status, 0) for status in statuses) for tab, statuses in TABS.items()}


def subjects(session: Session, campaigns: Sequence[Campaign]) -> dict[int, str]:
    ids = [campaign.id for campaign in campaigns]
    rows = session.execute(
        select(Revision.campaign_id, Revision.subject)
        .join(Campaign, Campaign.id == Revision.campaign_id)
        .where(Revision.campaign_id.in_(ids), Revision.number == Campaign.revision)
    )
    return {row[0]: row[1] for row in rows}


def list_names(session: Session, campaign_ids: Sequence[int]) -> dict[int, list[str]]:
    rows = session.execute(
        select(CampaignList.campaign_id, List.name)
        .join(List, List.id == CampaignList.list_id)
        .where(CampaignList.campaign_id.in_(campaign_ids), CampaignList.excluded.is_(False))
        .order_by(List.name)
    )
    found: dict[int, list[str]] = {}
    for campaign_id, name in rows:
        found.setdefault(campaign_id, []).append(name)
    return found

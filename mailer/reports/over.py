"""Campaigns side by side: each one's figures as a row, cheap enough for hundreds of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignList, CampaignStatus, Link
from kairan.models.events import Aspect, EventKind, Facet, Rollup
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.reports.state_counts import state_counts

CAMPAIGNS_MAX = 500
"""the newest of a choice; beyond that a table helps nobody"""
OUT = (CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT, CampaignStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which campaigns: started within these moments, to this list. None: no limit."""

    since: datetime | None = None
    until: datetime | None = None
    list_id: int | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """`openers`, `clickers`: members, each once; `opens`, `clicks`: by people, every time. Rates are shares of the accepted."""

    id: int
    name: str
    started_at: datetime
    audience: int
    accepted: int
    rejected: int
    uncertain: int
    openers: int
    clickers: int
    opens: int
    clicks: int
    machines: int
    unsubscribed: int
    complained: int

    def _share(self, count: int, of: int) -> float | None:
        return count / of if of else None

    @property
    def open_rate(self) -> float | None:
        return self._share(self.openers, self.accepted)

    @property
    def click_rate(self) -> float | None:
        return self._share(self.clickers, self.accepted)

    @property
    def click_to_open(self) -> float | None:
        return self._share(self.clickers, self.openers)

    @property
    def unsubscribe_rate(self) -> float | None:
        return self._share(self.unsubscribed, self.accepted)

    @property
    def reject_rate(self) -> float | None:
        return self._share(self.rejected, self.audience)


def chosen(session: Session, choice: Choice) -> list[Campaign]:
    """The newest first; at most CAMPAIGNS_MAX."""
    query = select(Campaign).where(Campaign.started_at.is_not(None), Campaign.status.in_(OUT))
    if choice.since:
        query = query.where(Campaign.started_at >= choice.since)
    if choice.until:
        query = query.where(Campaign.started_at < choice.until)
    if choice.ids:
        query = query.where(Campaign.id.in_(choice.ids))
    if choice.list_id:
        to_list = and_(CampaignList.campaign_id == Campaign.id, CampaignList.list_id == choice.list_id, CampaignList.excluded.is_(False))
        query = query.where(select(CampaignList.list_id).where(to_list).exists())
    return list(session.scalars(query.order_by(Campaign.started_at.desc(), Campaign.id.desc()).limit(CAMPAIGNS_MAX)))


def results(session: Session, campaigns: Sequence[Campaign]) -> list[CampaignResult]:
    """A row for each, in their order."""
    ids = [campaign.id for campaign in campaigns]
    read, left = _read(session, ids), _left(session, ids)
    return [_row(session, campaign, read.get(campaign.id, (0,) * 5), left) for campaign in campaigns if campaign.started_at]


def _row(session: Session, campaign: Campaign, read: Sequence[int], left: dict[tuple[int, str], int]) -> CampaignResult:
    states = state_counts(session, campaign.id)
    openers, clickers, opens, clicks, machines = read
    assert campaign.started_at is not None
    return CampaignResult(
        campaign.id,
        campaign.name,
        campaign.started_at,
        sum(states.values()),
        states["accepted"],
        states["rejected"] + states["failed"] + states["expired"],
        states["uncertain"],
        openers,
        clickers,
        opens,
        clicks,
        machines,
        left.get((campaign.id, SuppressionReason.UNSUBSCRIBED), 0),
        left.get((campaign.id, SuppressionReason.COMPLAINT), 0),
    )


def _read(session: Session, ids: Iterable[int]) -> dict[int, Sequence[int]]:
    """By the aspect with the fewest values: every fetch is in each of them."""
    sums = [func.sum(column) for column in (Facet.openers, Facet.clickers, Facet.opens, Facet.clicks, Facet.machines)]
    query = select(Facet.campaign_id, *sums).where(Facet.campaign_id.in_(ids), Facet.aspect == Aspect.DEVICE)
    return {row[0]: [int(value) for value in row[1:]] for row in session.execute(query.group_by(Facet.campaign_id))}


def _left(session: Session, ids: Iterable[int]) -> dict[tuple[int, str], int]:
    query = select(Suppression.campaign_id, Suppression.reason, func.count()).where(Suppression.campaign_id.in_(ids))
    rows = session.execute(query.group_by(Suppression.campaign_id, Suppression.reason))
    return {(campaign, reason): count for campaign, reason, count in rows if campaign is not None}


@dataclass(frozen=True, slots=True)
class LinkResult:
    """A link of one of the campaigns; `share`: members who clicked it, of its campaign's accepted."""

    campaign: CampaignResult
    number: int
    kind: str
    label: str
    url: str
    unique: int

    @property
    def share(self) -> float:
        return self.unique / self.campaign.accepted


def links(session: Session, rows: Sequence[CampaignResult], limit: int = 5) -> tuple[list[LinkResult], list[LinkResult]]:
    """The best and the worst by the share of members who clicked them; a link that stands in both is among the best only."""
    accepted = {row.id: row for row in rows if row.accepted}
    clicks = and_(Rollup.campaign_id == Link.campaign_id, Rollup.link == Link.number, Rollup.kind == EventKind.CLICK)
    columns = (Link.campaign_id, Link.number, Link.kind, Link.label, Link.url)
    query = select(*columns, func.coalesce(func.sum(Rollup.unique), 0)).outerjoin(Rollup, clicks).where(Link.campaign_id.in_(accepted))
    found = [LinkResult(accepted[row[0]], *row[1:5], int(row[5])) for row in session.execute(query.group_by(*columns))]
    ranked = sorted(found, key=lambda link: (-link.share, -link.campaign.id, link.number))
    return ranked[:limit], list(reversed(ranked[limit:][-limit:]))

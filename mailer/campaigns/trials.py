"""An A/B test of a campaign on its way: a share of the members gets the variants, the rest waits and gets the one that won.

The deliveries of the rest are written with the others and have no due time. Whoever decides writes the winner and a new revision in one
transaction, so that no lane which does not know the winner passes the gate; then the rest becomes due, chunk by chunk, and a kill in
between is taken up by the next tick.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus, Link, Program
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.models.events import Engagement
from kairan.sql import locked
from mailer.campaigns import revisions, versions
from mailer.delivery.splits import Split

BY = ("clicks", "opens", "hand")
SHARES = (5, 50)
"""percent of the members; 100 stands for no rest at all"""
HOURS = (1, 168)
LIVE = (CampaignStatus.SENDING, CampaignStatus.PAUSED)
_UNTRACKED = {"synchronize_session": False}


class TrialError(ValueError):
    """The reason as a key: `no_variants`, `share`, `hours`, `by`, `local_time`, `decided`, `not_live`, `unknown`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a test is held. `hours` are counted from when each mail of the test was tried once."""

    variants: int
    share: int
    hours: int
    by: str
    ends_at: str | None = None
    """ISO 8601; NULL: the test is not out yet, or a person decides"""
    winner: int | None = None
    decided_at: str | None = None
    decided_by: int | None = None
    """the account; NULL: the figures"""
    released: bool = False
    """the rest is due"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One variant's, of the test alone: who has it, and how many people opened and clicked."""

    variant: int
    received: int
    openers: int
    clickers: int

    def rate(self, by: str) -> float:
        return (self.openers if by == "opens" else self.clickers) / self.received if self.received else 0.0


def of(campaign: Campaign) -> Trial | None:
    return Trial(**campaign.trial) if campaign.trial else None


def set_up(session: Session, campaign: Campaign, *, share: int, hours: int, by: str) -> None:
    """How the variants are tried; a share of 100 tries them on everybody. Raises TrialError, NotEditable."""
    if campaign.status != CampaignStatus.DRAFT:
        raise revisions.NotEditable
    content = revisions.content_of(revisions.current(session, campaign))
    variants = len(versions.variants(content))
    if variants < 2:
        raise TrialError("no_variants")
    if share != 100 and not SHARES[0] <= share <= SHARES[1]:
        raise TrialError("share")
    if not HOURS[0] <= hours <= HOURS[1]:
        raise TrialError("hours")
    if by not in BY:
        raise TrialError("by")
    campaign.trial = asdict(Trial(variants, share, hours, by)) if share < 100 else None


def settle_variants(campaign: Campaign, variants: int) -> None:
    """After a variant came or went: the test is of those there are."""
    trial = of(campaign)
    if trial is not None:
        campaign.trial = asdict(replace(trial, variants=variants)) if variants > 1 else None


def figures(session: Session, campaign: Campaign, variants: int) -> list[Figures]:
    """By variant, A first. Of a test its share only; else of everybody."""
    trial = of(campaign)
    split = Split(variants, trial.share if trial else 100)
    variant = split.column(Delivery.number)  # type: ignore[arg-type]
    there = and_(Engagement.campaign_id == Delivery.campaign_id, Engagement.number == Delivery.number)
    rows = session.execute(
        select(
            variant.label("variant"),
            func.count().filter(Delivery.state == State.ACCEPTED),
            func.count().filter(Engagement.opens > 0),
            func.count().filter(Engagement.clicks > 0),
        )
        .outerjoin(Engagement, there)
        .where(Delivery.campaign_id == campaign.id)
        .group_by(variant)
    ).all()
    found = {place: Figures(place, *counts) for place, *counts in rows if place is not None}
    return [found.get(place, Figures(place, 0, 0, 0)) for place in range(variants)]


def best(found: Sequence[Figures], by: str) -> int:
    """The variant that did best; of equals the first."""
    return max(found, key=lambda each: (each.rate(by), -each.variant)).variant


def decide(session: Session, campaign_id: int, winner: int, *, now: datetime, by: int | None = None) -> None:
    """Writes the winner; `release` makes the rest due. Raises TrialError."""
    held = locked(select(Campaign).where(Campaign.id == campaign_id), session).execution_options(populate_existing=True)
    campaign = session.execute(held).scalar_one()
    trial = of(campaign)
    if trial is None or campaign.status not in LIVE:
        raise TrialError("not_live")
    if trial.winner is not None:
        raise TrialError("decided")
    if not 0 <= winner < trial.variants:
        raise TrialError("unknown")
    before = campaign.revision
    campaign.trial = asdict(replace(trial, winner=winner, decided_at=now.isoformat(), decided_by=by))
    revisions.repeat(session, campaign, now=now, by=by)
    # The programs are the same, and mails that are out name these links: they move to the new revision as they are.
    for table in (Program, Link):
        session.execute(
            update(table).where(table.campaign_id == campaign_id, table.revision == before).values(revision=campaign.revision),
            execution_options=_UNTRACKED,
        )


def release(session: Session, campaign_id: int, chunk: int, *, now: datetime) -> bool:
    """The rest in this chunk becomes due; after the last chunk the test is over. True: there is a next one."""
    campaign = session.execute(locked(select(Campaign).where(Campaign.id == campaign_id), session, weak=True)).scalar_one()
    trial = of(campaign)
    if trial is None or trial.winner is None or trial.released or campaign.status not in LIVE:
        return False
    row = session.get(Chunk, (campaign_id, chunk))
    if row is None:
        campaign.trial = asdict(replace(trial, released=True))
        return False
    moved = session.execute(
        update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.number.between(row.first, row.last),
            Delivery.state == State.QUEUED,
            Delivery.due_at.is_(None),
        )
        .values(due_at=now)
        .returning(Delivery.number),
        execution_options=_UNTRACKED,
    ).all()
    if moved and (row.due_at is None or row.due_at > now):
        row.due_at = now
    return True


def advance(session: Session, campaign_id: int, *, now: datetime) -> bool:
    """What time brings a test: its end is set once all of it was tried, and then the figures decide. True: there is a rest to release."""
    campaign = session.execute(locked(select(Campaign).where(Campaign.id == campaign_id), session, weak=True)).scalar_one()
    trial = of(campaign)
    if trial is None or trial.released or campaign.status not in LIVE or campaign.snapshot_at is None:
        return False
    if trial.winner is not None:
        return True
    if trial.by == "hand":
        return False
    if trial.ends_at is None:
        if _is_out(session, campaign_id):
            campaign.trial = asdict(replace(trial, ends_at=(now + timedelta(hours=trial.hours)).isoformat()))
        return False
    if datetime.fromisoformat(trial.ends_at) > now:
        return False
    decide(session, campaign_id, best(figures(session, campaign, trial.variants), trial.by), now=now)
    return True


def _is_out(session: Session, campaign_id: int) -> bool:
    """Each mail of the test was tried at least once."""
    waiting = select(Delivery.number).where(
        Delivery.campaign_id == campaign_id,
        Delivery.due_at.is_not(None),
        Delivery.state.in_([State.QUEUED, State.SENDING]),
        Delivery.tries == 0,
    )
    return session.execute(waiting.limit(1)).one_or_none() is None


def live(session: Session) -> list[int]:
    """Campaigns whose test is not over."""
    rows = session.execute(select(Campaign.id, Campaign.trial).where(Campaign.status.in_(LIVE), Campaign.trial.is_not(None))).all()
    return [number for number, trial in rows if trial and not trial.get("released")]

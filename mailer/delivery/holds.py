"""What keeps a campaign's mail back while it is sending: a send window that is closed, and so many mails an hour.

Asked at every claim of a chunk. What has to wait gets a later due time, so no lane is rung for it in vain and nothing spins.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from kairan import installation, walltime
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.sql import locked
from kairan.walltime import Window

CLOSES_EARLY = timedelta(seconds=90)
"""a lane that claims a chunk goes on with it for a minute: after the close no mail starts"""
SLOTS_AN_HOUR = 12
"""a limit an hour is shared out in steps of five minutes, of one mail at least"""
_UNTRACKED = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Holds:
    """What a campaign asks for."""

    window: Window | None
    zone: ZoneInfo
    per_hour: int | None

    def opens_at(self, now: datetime) -> datetime:
        """When mail of this campaign may start: `now` while nothing is against it. A window by members' clocks is asked for each zone."""
        if self.window is None or self.window.local:
            return now
        return self.window.next_open(now, self.zone, early=CLOSES_EARLY)


def of(session: Session, campaign_id: int) -> Holds | None:
    """None: the campaign goes out as fast as it can, as most do."""
    row = session.execute(
        select(Campaign.send_window, Campaign.per_hour, Campaign.due_zone).where(Campaign.id == campaign_id)
    ).one_or_none()
    if row is None or not (row.send_window or row.per_hour):
        return None
    return Holds(walltime.window_of(row.send_window), zone_or(row.due_zone, installation.get(session, "time_zone")), row.per_hour)


def zone_or(name: str | None, otherwise: str) -> ZoneInfo:
    return ZoneInfo(name if walltime.is_zone(name) and name else otherwise)


def lets_claim(session: Session, campaign_id: int, holds: Holds, now: datetime) -> bool:
    """Whether a chunk may be claimed now. If not, whatever is free has a later due time from here on."""
    opens = holds.opens_at(now)
    if opens <= now and holds.per_hour and not _permits(session, campaign_id, holds.per_hour, now):
        opens = _slot(holds.per_hour, now).ends
    if opens <= now:
        return True
    postpone(session, campaign_id, opens)
    return False


def postpone(session: Session, campaign_id: int, opens: datetime) -> int:
    """Free chunks of the campaign are due when it opens. Returns how many were due before."""
    moved = session.execute(
        update(Chunk)
        .where(Chunk.campaign_id == campaign_id, Chunk.lane_id.is_(None), Chunk.due_at < opens)
        .values(due_at=opens)
        .returning(Chunk.number),
        execution_options=_UNTRACKED,
    )
    return len(moved.all())


def with_window(session: Session) -> list[int]:
    query = select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING, Campaign.send_window.is_not(None))
    return list(session.execute(query).scalars())


def postpone_closed(session: Session, now: datetime) -> list[int]:
    """Campaigns on their way whose window is closed: what they have waits. The ids of those that had something due."""
    closed = []
    for campaign_id in with_window(session):
        holds = of(session, campaign_id)
        if holds is not None and (opens := holds.opens_at(now)) > now and postpone(session, campaign_id, opens):
            closed.append(campaign_id)
    return closed


def hold_back(session: Session, chunk: Chunk, holds: Holds, now: datetime) -> None:
    """Of a chunk that was just claimed: rows of members for whom it is night, and what is more than the hour still has, wait."""
    if holds.window is not None and holds.window.local:
        _hold_by_clock(session, chunk, holds, holds.window, now)
    if holds.per_hour:
        _hold_by_rate(session, chunk, holds.per_hour, now)


# ---- the clock of each member


def _due(chunk: Chunk, now: datetime) -> ColumnElement[bool]:
    return and_(
        Delivery.campaign_id == chunk.campaign_id,
        Delivery.number.between(chunk.first, chunk.last),
        Delivery.state.in_([State.QUEUED, State.DEFERRED]),
        Delivery.due_at <= now,
    )


def _hold_by_clock(session: Session, chunk: Chunk, holds: Holds, window: Window, now: datetime) -> None:
    named = session.execute(
        select(Member.time_zone).join(Delivery, Delivery.member_id == Member.id).where(_due(chunk, now)).distinct()
    ).scalars()
    for opens, zones in _closed(window, holds.zone, named.all(), now).items():
        session.execute(
            update(Delivery).where(_due(chunk, now), _members_in(zones)).values(due_at=opens),
            execution_options=_UNTRACKED,
        )


def _closed(window: Window, otherwise: ZoneInfo, zones: Iterable[str | None], now: datetime) -> dict[datetime, list[str | None]]:
    """When it opens → the zones in which it is closed until then; some thirty distinct times on the whole earth."""
    found: dict[datetime, list[str | None]] = defaultdict(list)
    for name in zones:
        opens = window.next_open(now, zone_or(name, otherwise.key), early=CLOSES_EARLY)
        if opens > now:
            found[opens].append(name)
    return found


def _members_in(zones: list[str | None]) -> ColumnElement[bool]:
    named = Member.time_zone.in_([zone for zone in zones if zone is not None])
    there = or_(named, Member.time_zone.is_(None)) if None in zones else named
    return exists().where(Member.id == Delivery.member_id, there).correlate(Delivery)


# ---- so many an hour


@dataclass(frozen=True, slots=True)
class _Slot:
    number: int
    ends: datetime
    size: int


def _slot(per_hour: int, now: datetime) -> _Slot:
    slots = min(SLOTS_AN_HOUR, per_hour)
    seconds = 3600 // slots
    number = int(now.timestamp()) // seconds
    return _Slot(number * seconds, datetime.fromtimestamp((number + 1) * seconds, UTC), per_hour // slots)


def _permits(session: Session, campaign_id: int, per_hour: int, now: datetime) -> int:
    """How many mails of this slot are left. The campaign's row is locked: two lanes never take the same."""
    slot = _slot(per_hour, now)
    query: Any = select(Campaign.rate_slot, Campaign.rate_used).where(Campaign.id == campaign_id)
    row = session.execute(locked(query, session, weak=True)).one()
    return slot.size - (row.rate_used if row.rate_slot == slot.number else 0)


def _hold_by_rate(session: Session, chunk: Chunk, per_hour: int, now: datetime) -> None:
    slot, left = _slot(per_hour, now), _permits(session, chunk.campaign_id, per_hour, now)
    numbers = session.execute(select(Delivery.number).where(_due(chunk, now)).order_by(Delivery.number).limit(left + 1)).scalars().all()
    if len(numbers) > left:
        session.execute(
            update(Delivery).where(_due(chunk, now), Delivery.number >= numbers[left]).values(due_at=slot.ends),
            execution_options=_UNTRACKED,
        )
    used = slot.size - left + min(left, len(numbers))
    session.execute(
        update(Campaign).where(Campaign.id == chunk.campaign_id).values(rate_slot=slot.number, rate_used=used), execution_options=_UNTRACKED
    )


def waits_until(session: Session, campaign_id: int) -> datetime | None:
    """The earliest time at which a free chunk is due; None where nothing waits or a lane is at it."""
    row = session.execute(
        select(func.min(Chunk.due_at), func.count(Chunk.lane_id)).where(
            Chunk.campaign_id == campaign_id, or_(Chunk.due_at.is_not(None), Chunk.lane_id.is_not(None))
        )
    ).one()
    found: datetime | None = None if row[1] else row[0]
    return found

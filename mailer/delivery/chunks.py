"""Chunks of 2,000 deliveries: claimed by a lane, let go with the time at which they have work again.

A chunk claimed twice is harmless (the gate decides); a chunk whose due time is lost is not, so letting go locks the row first and
computes in a second statement, which sees what others committed before it (model: release_lock).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.sql import locked
from mailer.delivery import holds

CHUNK = 2_000
"""deliveries a chunk; chunk k holds the numbers (k-1)*CHUNK+1 … k*CHUNK"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery of the claimed chunk that is due: its number and member, the least a gate needs."""

    number: int
    member_id: int
    domain: str = ""


def claim(session: Session, campaign_id: int, lane_id: int, now: datetime) -> Chunk | None:
    """Takes a free chunk that is due, the longest due first; None also while the campaign's send window or hourly limit holds it."""
    held = holds.of(session, campaign_id)
    if held is not None and not holds.lets_claim(session, campaign_id, held, now):
        return None
    free = (
        select(Chunk)
        .where(Chunk.campaign_id == campaign_id, Chunk.lane_id.is_(None), Chunk.due_at <= now)
        .order_by(Chunk.due_at, Chunk.number)
        .limit(1)
    )
    chunk = session.execute(locked(free, session, skip=True)).scalar_one_or_none()
    if chunk is not None:
        chunk.lane_id = lane_id
        if held is not None:
            holds.hold_back(session, chunk, held, now)
    return chunk


def waiting(session: Session, chunk: Chunk, now: datetime, *, with_domains: bool = False) -> list[Waiting]:
    """What is due in a chunk, by number; `with_domains` for a provider that gives some domains a rate of their own."""
    columns = [Delivery.number, Delivery.member_id, Member.email] if with_domains else [Delivery.number, Delivery.member_id]
    due = select(*columns).where(
        Delivery.campaign_id == chunk.campaign_id,
        Delivery.number.between(chunk.first, chunk.last),
        Delivery.state.in_([State.QUEUED, State.DEFERRED]),
        Delivery.due_at <= now,
    )
    if with_domains:
        due = due.outerjoin(Member, Member.id == Delivery.member_id)
    rows = session.execute(due.order_by(Delivery.number))
    return [Waiting(number, member_id, *((email or "").rpartition("@")[2] for email in more)) for number, member_id, *more in rows]


def let_go(session: Session, campaign_id: int, number: int, lane_id: int | None) -> None:
    """Frees the chunk (if it is still this lane's) and sets when it has work again."""
    row = select(Chunk).where(Chunk.campaign_id == campaign_id, Chunk.number == number)
    chunk = session.execute(locked(row, session)).scalar_one()
    if chunk.lane_id != lane_id:
        return
    chunk.due_at = session.execute(
        select(func.min(Delivery.due_at)).where(
            Delivery.campaign_id == campaign_id,
            Delivery.number.between(chunk.first, chunk.last),
            Delivery.state.in_([State.QUEUED, State.DEFERRED]),
        )
    ).scalar_one()
    chunk.lane_id = None


def make_due(session: Session, campaign_id: int, numbers: list[int], at: datetime) -> None:
    """In the transaction that puts these deliveries back: their chunks are due at `at` at the latest."""
    wanted = sorted({(number - 1) // CHUNK + 1 for number in numbers})
    session.execute(
        update(Chunk)
        .where(Chunk.campaign_id == campaign_id, Chunk.number.in_(wanted))
        .values(due_at=case((or_(Chunk.due_at.is_(None), Chunk.due_at > at), literal(at, Chunk.due_at.type)), else_=Chunk.due_at)),
        execution_options={"synchronize_session": False},
    )

"""Deliveries of unknown outcome: which they are, and what a person decides on them: they have arrived, or they are sent again.

They are never sent again by themselves: of 99 in the prototype's runs all had arrived (RELIABILITY-SECURITY.md, finding 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.deliveries import Delivery, State
from kairan.sql import among
from mailer.delivery import chunks

PIECE = 1_000


@dataclass(frozen=True, slots=True)
class Uncertain:
    """One of them, as a person looks at it. `email` is None once the member is erased."""

    number: int
    member_id: int
    email: str | None
    ended_at: datetime | None
    reply: str | None


def listed(session: Session, campaign_id: int, *, within: Sequence[int], after: int = 0, limit: int = 50) -> list[Uncertain]:
    """By number. `within`: the chunks that have any (none: unknown), so that a page of them is no scan of a million deliveries."""
    found: list[Uncertain] = []
    for first, last in [((chunk - 1) * chunks.CHUNK + 1, chunk * chunks.CHUNK) for chunk in within] or [(1, 1 << 60)]:
        if last > after and len(found) < limit:
            found += _between(session, campaign_id, max(first, after + 1), last, limit - len(found))
    return found


def _between(session: Session, campaign_id: int, first: int, last: int, limit: int) -> list[Uncertain]:
    query = (
        select(Delivery.number, Delivery.member_id, Member.email, Delivery.ended_at, Delivery.reply)
        .outerjoin(Member, Member.id == Delivery.member_id)
        .where(_of(campaign_id), Delivery.number.between(first, last))
    )
    return [Uncertain(*row) for row in session.execute(query.order_by(Delivery.number).limit(limit))]


def _of(campaign_id: int) -> ColumnElement[bool]:
    return and_(Delivery.campaign_id == campaign_id, Delivery.state == State.UNCERTAIN)


def mark_arrived(session: Session, campaign_id: int, numbers: Sequence[int] | None = None) -> int:
    """One piece of them (of these, if they are named) becomes accepted; returns how many, 0 when none is left."""
    found = _numbers(session, campaign_id, numbers)
    _move(session, campaign_id, found, state=State.ACCEPTED, reason="decided")
    return len(found)


def send_again(session: Session, campaign_id: int, now: datetime, numbers: Sequence[int] | None = None) -> int:
    """One piece of them is queued again, under the same Message-ID; members may get the mail twice. 0 when none is left."""
    found = _numbers(session, campaign_id, numbers)
    _move(session, campaign_id, found, state=State.QUEUED, due_at=now, ended_at=None, reply=None)
    if found:
        chunks.make_due(session, campaign_id, found, now)
    return len(found)


def _numbers(session: Session, campaign_id: int, chosen: Sequence[int] | None) -> list[int]:
    wanted = select(Delivery.number).where(_of(campaign_id)).order_by(Delivery.number).limit(PIECE)
    if chosen is not None:
        wanted = wanted.where(among(session, Delivery.number, chosen))
    return list(session.execute(wanted).scalars())


def _move(session: Session, campaign_id: int, numbers: list[int], **values: object) -> None:
    if numbers:
        session.execute(
            update(Delivery).where(_of(campaign_id), among(session, Delivery.number, numbers)).values(**values),
            execution_options={"synchronize_session": False},
        )

"""Deliveries of unknown outcome, decided by a person: all of a campaign's have arrived, or all are sent again.

They are never sent again by themselves: of 99 in the prototype's runs all had arrived (RELIABILITY-SECURITY.md, finding 8).
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan.models.deliveries import Delivery, State
from kairan.sql import among
from mailer.delivery import chunks

PIECE = 1_000


def mark_arrived(session: Session, campaign_id: int) -> int:
    """One piece of them becomes accepted; returns how many, 0 when none is left."""
    numbers = _numbers(session, campaign_id)
    _move(session, campaign_id, numbers, state=State.ACCEPTED, reason="decided")
    return len(numbers)


def send_again(session: Session, campaign_id: int, now: datetime) -> int:
    """One piece of them is queued again, under the same Message-ID; members may get the mail twice. 0 when none is left."""
    numbers = _numbers(session, campaign_id)
    _move(session, campaign_id, numbers, state=State.QUEUED, due_at=now, ended_at=None, reply=None)
    if numbers:
        chunks.make_due(session, campaign_id, numbers, now)
    return len(numbers)


def _numbers(session: Session, campaign_id: int) -> list[int]:
    wanted = select(Delivery.number).where(Delivery.campaign_id == campaign_id, Delivery.state == State.UNCERTAIN)
    return list(session.execute(wanted.order_by(Delivery.number).limit(PIECE)).scalars())


def _move(session: Session, campaign_id: int, numbers: list[int], **values: object) -> None:
    if numbers:
        session.execute(
            update(Delivery)
            .where(Delivery.campaign_id == campaign_id, among(session, Delivery.number, numbers), Delivery.state == State.UNCERTAIN)
            .values(**values),
            execution_options={"synchronize_session": False},
        )

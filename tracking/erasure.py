"""When a member is erased: what they did stays counted, and nobody can say any more that it was they."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan.models.events import Engagement, Event, StreamPosition
from kairan.sql import locked


def forget(session: Session, member_id: int, now: datetime) -> int:
    """Takes the member out of events and engagement; counts stay. Returns how many events were theirs.

    Waits for a drain that is at work (it has read who exists, and would write this member again), and holds the next one up until the
    caller commits. The member's row must go, or be suspended, in the same transaction.
    """
    session.execute(locked(select(StreamPosition.stream).order_by(StreamPosition.stream), session)).all()
    values = {"member_id": None, "network": None, "client": None, "device": None, "country": None}
    events = session.execute(
        update(Event).where(Event.member_id == member_id).values(**values), execution_options={"synchronize_session": False}
    )
    session.execute(
        update(Engagement).where(Engagement.member_id == member_id).values(member_id=None), execution_options={"synchronize_session": False}
    )
    return int(events.rowcount)  # type: ignore[attr-defined]

"""Time: taken once at the edge and handed on as `now`; the database's own time for whatever several machines compare."""

import time
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def now() -> datetime:
    return datetime.now(UTC)


def database_now(session: Session) -> datetime:
    """The one clock that all machines of an installation share. SQLite has no clock but this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return now()
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found


def boottime() -> float:
    """Seconds that also pass while the machine sleeps and that nobody can set (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

"""How long single records are kept: then they are totals, and nobody can say any more who opened or clicked.

On PostgreSQL a month of `events` is dropped whole; on SQLite, and for what is counted by delivery, rows go in pieces, so nothing waits
long. Hours, facets and the states of deliveries stay.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, text, tuple_

from kairan.database import Database
from kairan.models.events import Engagement, Event, LinkEngagement
from kairan.models.webhooks import MemberVisit

MONTHS = 13
"""as /about/tracking says to members"""
AT_ONCE = 5_000
_KEPT: tuple[tuple[Any, Any], ...] = (
    (Event, Event.occurred_at),
    (LinkEngagement, LinkEngagement.first_at),
    (Engagement, Engagement.last_at),
    (MemberVisit, MemberVisit.at),
)
_PARTITION = re.compile(r"events_(\d{4})_(\d{2})")


def before(now: datetime) -> datetime:
    """What is older goes: the beginning of the month so many months ago, since partitions are months."""
    count = now.year * 12 + now.month - 1 - MONTHS
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def expire(database: Database, now: datetime) -> int:
    """Everything that is older. Returns how many rows and partitions went; killed anywhere it goes on the next time."""
    cut = before(now)
    gone = 0 if database.is_sqlite else sum(1 for _name in _drop_months(database, cut))
    for table, moment in _KEPT:
        while count := _delete(database, table, moment, cut):
            gone += count
    return gone


def _drop_months(database: Database, cut: datetime) -> Iterator[str]:
    with database.reading() as session:
        children = text("SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass")
        names = [name for (name,) in session.execute(children) if (found := _PARTITION.fullmatch(name)) and _end(found) <= cut]
    for name in names:
        with database.writing() as session:
            session.execute(text(f"DROP TABLE {name}"))  # a name of our own: checked above
        yield name


def _end(found: re.Match[str]) -> datetime:
    """The beginning of the month after."""
    count = int(found[1]) * 12 + int(found[2])
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def _delete(database: Database, table: Any, moment: Any, cut: datetime) -> int:
    keys = list(table.__table__.primary_key.columns)
    # Looked for without the writers' lock: what is counted by delivery has no index by time, and a look at ten million takes seconds.
    with database.reading() as session:
        rows = [tuple(row) for row in session.execute(select(*keys).where(moment < cut).limit(AT_ONCE))]
    if rows:
        with database.writing() as session:
            gone = delete(table).where(tuple_(*keys).in_(rows), moment < cut)
            session.execute(gone, execution_options={"synchronize_session": False})
    return len(rows)

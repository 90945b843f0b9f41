"""Months of `events` on PostgreSQL, made ahead. What came before its month was made waits in the default one and is moved."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from kairan.sql import is_sqlite

AHEAD = 3
DEFAULT = "events_default"


def make_ahead(session: Session, now: datetime) -> list[str]:
    """The month of `now` and the three after it. Returns the partitions that were not there yet; none on SQLite."""
    if is_sqlite(session):
        return []
    made = []
    month = _month_after(now, 0)
    for step in range(AHEAD + 1):
        first, end = _month_after(month, step), _month_after(month, step + 1)
        name = f"events_{first:%Y_%m}"
        if session.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is None:
            _make(session, name, first, end)
            made.append(name)
    return made


def _make(session: Session, name: str, first: datetime, end: datetime) -> None:
    """Names and bounds are ours alone, so they may stand in the statement: DDL takes no parameters."""
    session.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    bounds = {"first": first, "end": end}
    # ATTACH refuses while the default partition holds a row of this month.
    session.execute(
        text(
            f"WITH moved AS (DELETE FROM {DEFAULT} WHERE occurred_at >= :first AND occurred_at < :end RETURNING *) "
            f"INSERT INTO {name} SELECT * FROM moved"
        ),
        bounds,
    )
    session.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{first.isoformat()}') TO ('{end.isoformat()}')"))


def _month_after(moment: datetime, months: int) -> datetime:
    count = moment.year * 12 + moment.month - 1 + months
    return moment.replace(year=count // 12, month=count % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)

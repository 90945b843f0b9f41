"""How the audience grows and leaves, who still reads, and how long those who joined in a month go on reading: counted in the background.

Who reads is told by people's fetches alone: a machine that fetches every mail keeps nobody awake. Months are those of UTC.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from kairan.models.audience import Recording
from kairan.models.deliveries import State
from kairan.models.reports import StoredFigures
from kairan.sql import insert, is_sqlite

NAME = "audience"
STALE = timedelta(hours=1)
SMALL = 20_000
"""members up to which a page counts by itself"""
ACTIVE_DAYS, ASLEEP_DAYS = 90, 180
MAILS_MIN = 3
"""mails that a member must have had to be called asleep: nobody sleeps through one"""
MONTHS, COHORTS = 24, 12


def count(session: Session, now: datetime) -> dict[str, Any]:
    """All of it; some seconds at a million members with ten campaigns."""
    return {"growth": growth(session, now), "lists": lists(session, now), "groups": groups(session, now), "cohorts": cohorts(session, now)}


def store(session: Session, value: dict[str, Any], now: datetime) -> None:
    row = {"name": NAME, "value": value, "as_of": now}
    session.execute(insert(session, StoredFigures).values(**row).on_conflict_do_update(index_elements=[StoredFigures.name], set_=row))


def stored(session: Session) -> StoredFigures | None:
    return session.get(StoredFigures, NAME)


def _month(session: Session, column: str) -> str:
    return f"substr({column}, 1, 7)" if is_sqlite(session) else f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM')"


def months_until(now: datetime, count: int) -> list[str]:
    """`2026-11`, the oldest first."""
    last = now.year * 12 + now.month - 1
    return [f"{place // 12:04}-{place % 12 + 1:02}" for place in range(last - count + 1, last + 1)]


def growth(session: Session, now: datetime) -> list[dict[str, Any]]:
    """By month: who joined, who left for good (opt-outs, complaints, dead addresses), and members at its end."""
    joined = _counts(session, f"SELECT {_month(session, 'created_at')}, count(*) FROM members GROUP BY 1")
    left = _counts(
        session, f"SELECT {_month(session, 'created_at')}, count(*) FROM suppressions WHERE reason NOT IN ('staff', 'erased') GROUP BY 1"
    )
    shown = months_until(now, MONTHS)
    total = sum(count for month, count in joined.items() if month < shown[0])
    rows = []
    for month in shown:
        total += joined.get(month, 0)
        rows.append({"month": month, "joined": joined.get(month, 0), "left": left.get(month, 0), "members": total})
    return rows


def lists(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Each list's members now, and who came and went in the last 90 days."""
    query = text(
        "SELECT l.id, l.name, sum(CASE WHEN s.ended_at IS NULL THEN 1 ELSE 0 END), sum(CASE WHEN s.since >= :since THEN 1 ELSE 0 END),"
        " sum(CASE WHEN s.ended_at >= :since THEN 1 ELSE 0 END)"
        " FROM lists l JOIN subscriptions s ON s.list_id = l.id GROUP BY l.id, l.name ORDER BY 3 DESC, l.name"
    )
    rows = session.execute(query, {"since": _stored_moment(session, now - timedelta(days=90))})
    return [{"id": row[0], "name": row[1], "members": int(row[2]), "joined": int(row[3] or 0), "left": int(row[4] or 0)} for row in rows]


def groups(session: Session, now: datetime) -> dict[str, int]:
    """Members who may get mail, by when they last opened or clicked one. `unknown`: not recorded by name, by their own choice."""
    query = text(
        f"""WITH acts AS (
            SELECT member_id, max(coalesce(first_click_at, first_open_at)) AS last FROM engagement
            WHERE first_open_at IS NOT NULL OR first_click_at IS NOT NULL GROUP BY member_id
        ), mails AS (SELECT member_id, count(*) AS had FROM deliveries WHERE state = {int(State.ACCEPTED)} GROUP BY member_id)
        SELECT CASE
            WHEN m.recording <> '{Recording.IDENTIFIED}' THEN 'unknown'
            WHEN a.last >= :active THEN 'active'
            WHEN coalesce(d.had, 0) < {MAILS_MIN} THEN 'new'
            WHEN coalesce(a.last, m.created_at) >= :asleep THEN 'cooling'
            ELSE 'asleep' END, count(*)
        FROM members m LEFT JOIN acts a ON a.member_id = m.id LEFT JOIN mails d ON d.member_id = m.id
        WHERE NOT EXISTS (SELECT 1 FROM suppressions s WHERE s.address_key = m.address_key) GROUP BY 1"""
    )
    limits = {"active": now - timedelta(days=ACTIVE_DAYS), "asleep": now - timedelta(days=ASLEEP_DAYS)}
    found = {row[0]: int(row[1]) for row in session.execute(query, {name: _stored_moment(session, at) for name, at in limits.items()})}
    return {name: found.get(name, 0) for name in ("active", "cooling", "asleep", "new", "unknown")}


def cohorts(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Of who joined in a month: how many, and the members among them who opened or clicked a mail in each month since."""
    first = months_until(now, COHORTS)[0]
    joined, read = _month(session, "m.created_at"), _month(session, "coalesce(e.first_click_at, e.first_open_at)")
    sizes = _counts(session, f"SELECT {_month(session, 'created_at')}, count(*) FROM members GROUP BY 1")
    query = text(
        f"""SELECT {joined}, {read}, count(DISTINCT m.id) FROM members m JOIN engagement e ON e.member_id = m.id
        WHERE (e.first_open_at IS NOT NULL OR e.first_click_at IS NOT NULL) AND {joined} >= :first GROUP BY 1, 2"""
    )
    readers = {(row[0], row[1]): int(row[2]) for row in session.execute(query, {"first": first})}
    shown = months_until(now, COHORTS)
    return [
        {"month": month, "members": sizes[month], "readers": [readers.get((month, later), 0) for later in shown[place:]]}
        for place, month in enumerate(shown)
        if sizes.get(month)
    ]


def _counts(session: Session, statement: str) -> dict[str, int]:
    return {row[0]: int(row[1]) for row in session.execute(text(statement))}


def _stored_moment(session: Session, moment: datetime) -> Any:
    """SQLite keeps moments as text, and compares them so."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f") if is_sqlite(session) else moment

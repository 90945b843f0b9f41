"""A batch of rows → members, subscriptions and consents, by set statements over a temporary table; the same on both databases.

PostgreSQL fills it by COPY (489 k rows/s into a temporary table against 96 k by inserts), SQLite by executemany. Existing members are
locked by id first, as the gate locks them, and new ones come in the order of their keys: two imports and a gate never wait in a ring.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from kairan.models.audience import Format, Member
from kairan.models.base import BigId, Document
from kairan.models.suppression import Suppression, SuppressionReason
from kairan.sql import among, insert, is_sqlite, locked
from mailer.audience.csv_rows import Row
from unsubscribe import bulk

STAGE = Table(
    "import_stage",
    MetaData(),
    Column("line", Integer),
    Column("email", Text),
    Column("address_key", LargeBinary),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("locale", Text),
    Column("time_zone", Text),
    Column("attributes", Document),
    Column("member_id", BigId),
)
_COLUMNS = ", ".join(column.name for column in STAGE.columns if column.name != "member_id")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows go."""

    list_id: int
    agreed: bulk.Agreement | None
    recording: str
    """what a new member's choice starts as (legal profile)"""


@dataclass(frozen=True, slots=True)
class Imported:
    new: int
    merged: int
    erased: list[tuple[int, str]]
    """(line, address) of those who had themselves erased: they are not brought back"""


def write(session: Session, rows: Sequence[Row], target: Target, now: datetime) -> Imported:
    """All rows in the caller's transaction. Their addresses must be distinct."""
    _fill(session, rows)
    existing = _hold_existing(session)
    erased = _drop_erased(session)
    _merge(session, target, now)
    _find_members(session)
    members = select(STAGE.c.member_id, STAGE.c.address_key)
    bulk.put_in_list(session, members, target.list_id, agreed=target.agreed, now=now)
    session.execute(delete(STAGE))
    return Imported(len(rows) - existing - len(erased), existing, erased)


def _fill(session: Session, rows: Sequence[Row]) -> None:
    # In the order of the keys: 30 % cheaper for the unique index than in the file's.
    values = [
        (row.line, row.email, row.address_key, row.first_name, row.last_name, row.locale, row.time_zone, _document(row.attributes))
        for row in sorted(rows, key=lambda row: row.address_key)
    ]
    connection = session.connection()
    if is_sqlite(session):
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS import_stage ({_COLUMNS}, member_id)")
        connection.exec_driver_sql("DELETE FROM temp.import_stage")
        connection.exec_driver_sql(f"INSERT INTO temp.import_stage ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE IF NOT EXISTS import_stage (line int, email text, address_key bytea, first_name text, last_name text, "
        "locale text, time_zone text, attributes jsonb, member_id bigint) ON COMMIT DELETE ROWS"
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY import_stage ({_COLUMNS}) FROM STDIN") as copy:
        for value in values:
            copy.write_row(value)


def _document(attributes: dict[str, Any]) -> str:
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":")) if attributes else "{}"


def _find_members(session: Session) -> None:
    """By a subquery for each row, since the planner cannot turn it round: without statistics of the stage it would read all members."""
    found = select(Member.id).where(Member.address_key == STAGE.c.address_key).scalar_subquery()
    session.execute(update(STAGE).where(STAGE.c.member_id.is_(None)).values(member_id=found))


def _hold_existing(session: Session) -> int:
    """How many of the addresses are members already; they are locked until the end of the transaction."""
    _find_members(session)
    ids = session.execute(select(STAGE.c.member_id).where(STAGE.c.member_id.is_not(None)).order_by(STAGE.c.member_id)).scalars().all()
    if not ids:
        return 0
    existing = select(Member.id).where(among(session, Member.id, ids)).order_by(Member.id)
    return len(session.execute(locked(existing, session, weak=True)).all())


def _drop_erased(session: Session) -> list[tuple[int, str]]:
    reason = select(Suppression.reason).where(Suppression.address_key == STAGE.c.address_key).scalar_subquery()
    gone = session.execute(delete(STAGE).where(reason == SuppressionReason.ERASED).returning(STAGE.c.line, STAGE.c.email))
    return sorted((line, email) for line, email in gone)


def _merge(session: Session, target: Target, now: datetime) -> None:
    """New members, and what was empty of those there are. Nothing is overwritten."""
    same = [STAGE.c.email, STAGE.c.address_key, STAGE.c.first_name, STAGE.c.last_name, STAGE.c.locale, STAGE.c.attributes]
    fresh = {
        "time_zone": func.nullif(STAGE.c.time_zone, ""),
        "format": literal(str(Format.HTML)),
        "recording": literal(target.recording),
        "frequency": literal("each"),
        "awaiting_guardian": literal(False),
        "created_at": literal(now, Member.created_at.type),
        "updated_at": literal(now, Member.updated_at.type),
    }
    rows = select(*same, *fresh.values()).order_by(STAGE.c.address_key)
    statement = insert(session, Member).from_select([*(column.name for column in same), *fresh], rows)
    given = statement.excluded
    texts = (Member.first_name, Member.last_name, Member.locale)
    attributes = _filled(session, given.attributes)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Member.address_key],
            set_={
                **{column.key: case((column == "", given[column.key]), else_=column) for column in texts},
                "time_zone": func.coalesce(Member.time_zone, given.time_zone),
                "attributes": attributes,
                "updated_at": now,
            },
            where=or_(
                *(and_(column == "", given[column.key] != "") for column in texts),
                and_(Member.time_zone.is_(None), given.time_zone.is_not(None)),
                attributes != Member.attributes,
            ),
        )
    )


def _filled(session: Session, given: ColumnElement[Any]) -> ColumnElement[Any]:
    """The member's attributes, with those of the file that they did not have."""
    if is_sqlite(session):
        return func.json_patch(given, Member.attributes, type_=Document)
    return given.op("||", return_type=Document)(Member.attributes)

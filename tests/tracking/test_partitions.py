"""On PostgreSQL each month's events have a table of their own, made ahead, also when events came before it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text

from kairan.database import Database
from kairan.models.events import Event
from tracking.partitions import make_ahead

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def put(database: Database, when: datetime, entry: int) -> None:
    with database.writing() as session:
        session.execute(
            insert(Event).values(
                occurred_at=when, entry=entry, slot=0, campaign_id=1, number=1, kind=1, link=0, machine=False, rule="person/1"
            )
        )


def where(database: Database) -> dict[int, str]:
    with database.reading() as session:
        return {entry: name for entry, name in session.execute(text("SELECT entry, tableoid::regclass::text FROM events"))}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_months_are_made_ahead_and_take_what_waited(database_url: str) -> None:
    database = Database(database_url)
    put(database, datetime(2026, 12, 1, tzinfo=UTC), 1)
    put(database, datetime(2025, 1, 1, tzinfo=UTC), 2)
    with database.writing() as session:
        made = make_ahead(session, NOW)
    put(database, datetime(2027, 2, 28, 23, 59, tzinfo=UTC), 3)
    put(database, datetime(2027, 3, 1, tzinfo=UTC), 4)

    with database.writing() as session:
        again = make_ahead(session, NOW)

    assert made == ["events_2026_11", "events_2026_12", "events_2027_01", "events_2027_02"]
    assert again == []
    assert where(database) == {1: "events_2026_12", 2: "events_default", 3: "events_2027_02", 4: "events_default"}
    with database.writing() as session:
        assert make_ahead(session, datetime(2026, 12, 31, tzinfo=UTC)) == ["events_2027_03"]
    assert where(database)[4] == "events_2027_03"
    database.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_has_one_table(database_url: str) -> None:
    database = Database(database_url)
    with database.writing() as session:
        assert make_ahead(session, NOW) == []
    database.dispose()

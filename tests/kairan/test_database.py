"""The schema is one on both databases, comes from migrations alone, and survives two processes starting at once."""

import multiprocessing
import threading
from datetime import datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import StatementError

from kairan import clock, database
from kairan.database import Database, SchemaTooNew, SchemaTooOld
from kairan.models.audience import Purpose
from kairan.models.every import metadata
from kairan.models.installation import LegalProfile
from kairan.settings import SettingError


def _is_a_partition(difference: object) -> bool:
    return isinstance(difference, tuple) and getattr(difference[1], "name", "").startswith("events_")


def test_migrated_schema_and_metadata_are_the_same(database_url: str) -> None:
    opened = Database(database_url)
    with opened.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    opened.dispose()

    assert [difference for difference in differences if not _is_a_partition(difference)] == []


def test_two_processes_that_start_at_once_migrate_once(unmigrated_url: str) -> None:
    start = multiprocessing.get_context("spawn")
    processes = [start.Process(target=database.migrate, args=(unmigrated_url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    opened = Database(unmigrated_url)
    database.check_schema(opened)
    with opened.reading() as session:
        assert [profile.code for profile in session.query(LegalProfile)] == ["jp"]
    opened.dispose()


def test_an_empty_database_is_not_written_to(unmigrated_url: str) -> None:
    opened = Database(unmigrated_url)

    with pytest.raises(SchemaTooOld, match="kairan migrate"):
        database.check_schema(opened)
    opened.dispose()


def test_a_database_of_a_newer_program_is_not_written_to(database_url: str) -> None:
    opened = Database(database_url)
    with opened.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaTooNew, match="9999"):
        database.check_schema(opened)
    opened.dispose()


def test_another_secret_than_the_databases_own_is_refused(database_url: str) -> None:
    opened = Database(database_url)
    with opened.writing() as session:
        database.check_secret(session, "one")

    with pytest.raises(SettingError, match="KAIRAN_SECRET_KEY"), opened.writing() as session:
        database.check_secret(session, "another")
    opened.dispose()


def test_a_naive_time_is_refused(database_url: str) -> None:
    opened = Database(database_url)

    with pytest.raises(StatementError, match="naive"), opened.writing() as session:
        session.add(Purpose(name="x", created_at=datetime(2026, 1, 1)))
        session.flush()
    opened.dispose()


def test_writers_wait_in_line_instead_of_failing(database_url: str) -> None:
    opened = Database(database_url)

    def write(number: int) -> None:
        for at in range(10):
            with opened.writing() as session:
                session.add(Purpose(name=f"{number}-{at}", created_at=clock.now()))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with opened.reading() as session:
        assert session.query(Purpose).count() == 80
    opened.dispose()

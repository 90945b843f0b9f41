"""A database that was put back from a backup, or a copied data folder, sends nothing until a person says so."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan.models.audit import AuditRow
from kairan.models.campaigns import Campaign, Series
from kairan.models.deliveries import Delivery, State
from kairan.models.installation import Mark
from kairan.runtime import Runtime
from mailer.campaigns import jobs, lifecycle, restored, series
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan
from tests.support import ground as make


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    with make.running(make.make_settings(database_url, tmp_path / "data", redis=valkey, smtp="smtp://127.0.0.1:1")) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


@pytest.fixture
def campaigns(ground: Runtime) -> tuple[int, int, int]:
    """One on its way, one scheduled for tomorrow, and a series."""
    now = clock.now()
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 3, into)
        going, coming, pattern = (make.make_campaign(session, into).id for _ in range(3))
        lifecycle.schedule(session, coming, now + timedelta(days=1), now=now)
        row = series.begin(session, pattern, Plan(zone="UTC", rule=Rule("day", 0, date(2026, 1, 1))), now=now)
    make.start_sending(ground, going, now)
    return going, coming, row.id


def _statuses(ground: Runtime, ids: tuple[int, int, int]) -> tuple[str, str, str]:
    with ground.reading() as session:
        return session.get_one(Campaign, ids[0]).status, session.get_one(Campaign, ids[1]).status, session.get_one(Series, ids[2]).state


ALL_GO = ("sending", "scheduled", "active")
ALL_WAIT = ("paused", "paused", "paused")


def _mark(ground: Runtime) -> str:
    with ground.reading() as session:
        return session.execute(select(Mark.value).where(Mark.name == "epoch")).scalar_one()


def _set_mark(ground: Runtime, value: str) -> None:
    with ground.writing() as session:
        session.execute(update(Mark).where(Mark.name == "epoch").values(value=value))


def _in(**since: float) -> datetime:
    return clock.now() + timedelta(**since)


def test_nothing_is_held_while_time_goes_on_and_processes_start_again(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    for minutes in range(5):
        assert restored.guard(ground, _in(minutes=minutes)) == []

    assert _statuses(ground, campaigns) == ALL_GO
    assert restored.Epoch.read(_mark(ground)).count == 5


def test_a_database_that_is_behind_its_folder_holds_everything_once(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    restored.guard(ground, clock.now())
    backup = _mark(ground)
    restored.guard(ground, _in(seconds=11))  # ten seconds of sending later
    _set_mark(ground, backup)

    jobs.tick(ground)

    assert _statuses(ground, campaigns) == ALL_WAIT
    with ground.reading() as session:
        assert {session.get_one(Campaign, number).paused_reason for number in campaigns[:2]} == {"restored"}
        assert session.execute(select(AuditRow.action)).scalars().all() == ["installation.restored"]
    jobs.resume(ground, campaigns[0])
    jobs.resume(ground, campaigns[1])
    with ground.writing() as session:
        series.resume(session, campaigns[2], now=clock.now())
    assert restored.guard(ground, _in(seconds=30)) == []
    assert _statuses(ground, campaigns) == ALL_GO  # the one for tomorrow waits for tomorrow


def test_a_copied_data_folder_holds_everything(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    restored.guard(ground, clock.now())
    path = ground.settings.data_dir / restored.NAME
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.rename(path.with_suffix(".old"))
    path.with_suffix(".copy").rename(path)

    restored.guard(ground, _in(seconds=1))

    assert _statuses(ground, campaigns) == ALL_WAIT


def test_another_host_follows_a_hold_and_does_not_hold_again(ground: Runtime, campaigns: tuple[int, int, int], tmp_path: Path) -> None:
    other = tmp_path / "other"
    restored.guard(ground, clock.now())
    shutil.copytree(ground.settings.data_dir, other)
    here, there = ground.settings.data_dir, other
    _write_as_of_there(here, there)
    restored.guard(ground, _in(seconds=11))
    backup = restored.Epoch.read(_mark(ground))
    restored.guard(ground, _in(seconds=22))
    _set_mark(ground, str(backup))
    restored.guard(ground, _in(seconds=23))
    jobs.resume(ground, campaigns[0])

    object.__setattr__(ground.settings, "data_dir", there)
    assert restored.guard(ground, _in(seconds=24)) == []
    assert _statuses(ground, campaigns)[0] == "sending"


def _write_as_of_there(here: Path, there: Path) -> None:
    """A file that this host wrote itself."""
    lineage, count, _inode = (here / restored.NAME).read_text().split()
    path = there / restored.NAME
    path.unlink(missing_ok=True)
    restored._remember(path, restored.Epoch(lineage, int(count), "", clock.now()))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_sqlite_database_in_a_folder_that_does_not_know_it_holds_everything(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    restored.guard(ground, clock.now())
    (ground.settings.data_dir / restored.NAME).unlink()

    restored.guard(ground, _in(seconds=1))

    assert _statuses(ground, campaigns) == ALL_WAIT


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_taken_while_mail_went_out_and_put_back_sends_nothing_again(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    jobs.tick(ground)
    path = Path(ground.database.url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as living, closing(sqlite3.connect(path.with_suffix(".backup"))) as backup:
        living.backup(backup)
    restored.guard(ground, _in(seconds=11))
    with ground.writing() as session:  # what went out after the backup was taken
        session.execute(update(Delivery).values(state=State.ACCEPTED, due_at=None))

    ground.database.dispose()
    with closing(sqlite3.connect(path)) as living, closing(sqlite3.connect(path.with_suffix(".backup"))) as backup:
        backup.backup(living)
    jobs.tick(ground)

    assert _statuses(ground, campaigns) == ALL_WAIT
    with ground.reading() as session:
        assert make.states(session, campaigns[0]) == {"queued": 3}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("minutes", "statuses"), [(1, ALL_GO), (16, ALL_WAIT)])
def test_a_new_host_joins_a_living_database_and_holds_one_that_stood_still(
    ground: Runtime, campaigns: tuple[int, int, int], minutes: int, statuses: tuple[str, str, str]
) -> None:
    restored.guard(ground, clock.now())
    (ground.settings.data_dir / restored.NAME).unlink()

    restored.guard(ground, _in(minutes=minutes))

    assert _statuses(ground, campaigns) == statuses


def test_an_installation_from_before_the_guard_begins_to_count(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    jobs.tick(ground)

    assert _statuses(ground, campaigns) == ALL_GO
    assert (ground.settings.data_dir / restored.NAME).stat().st_mode & 0o777 == 0o600


def test_processes_that_start_together_take_each_other_for_no_restore(ground: Runtime, campaigns: tuple[int, int, int]) -> None:
    """The scheduler and every worker look for the first time in the same moment; one of them was between the mark and its file."""
    meet = threading.Barrier(8)

    def look(_number: int) -> list[int]:
        meet.wait()
        return restored.guard(ground, clock.now())

    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(look, range(8)))

    assert held == [[]] * 8
    assert _statuses(ground, campaigns) == ALL_GO


def test_a_first_look_that_was_killed_is_no_restore(
    ground: Runtime, campaigns: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("_remember", "_plant"):
        with monkeypatch.context() as killed:
            killed.setattr(restored, step, lambda *arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                restored.guard(ground, clock.now())

    assert restored.guard(ground, clock.now()) == []
    assert restored.guard(ground, clock.now()) == []
    assert _statuses(ground, campaigns) == ALL_GO


def test_a_guard_that_hangs_keeps_nobody_from_the_rest(
    ground: Runtime, campaigns: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    restored.guard(ground, clock.now())
    monkeypatch.setattr(restored, "LOCK_WAIT_S", 0.05)
    with restored._alone(ground.settings.data_dir) as first:
        assert first
        assert restored.guard(ground, clock.now()) == []

"""An export works in the background: it says how far it is, ends when asked, survives its worker, and its file goes after a day."""

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from sqlalchemy import func, select, update

from kairan import clock, jobs
from kairan import runtime as process
from kairan.models.audit import AuditRow
from kairan.models.jobs import Job, JobFile
from mailer.reports import export, export_files, export_formats
from mailer.reports import jobs as export_jobs
from mailer.reports.export import Scope, Wanted
from tests.tracking.conftest import Sent

WHY = {"purpose": "Evaluation", "recipient": "Us"}


@pytest.fixture
def fetched(sent: Sent) -> Iterator[Sent]:
    """With three clicks, and the process's own runtime."""
    for number in (1, 2, 3):
        sent.click(number)
    sent.drain()
    process.use(sent.ground)
    yield sent
    process.use(None)


def ask(sent: Sent, format_: str = "csv", what: str = "events", **more: Any) -> int:
    with sent.ground.writing() as session:
        wanted = Wanted(what, format_, scope=Scope(sent.campaign_id), **more)
        return export_jobs.start(session, wanted, actor="account:1", now=clock.now(), **WHY).id


def job_of(sent: Sent, job_id: int) -> Job:
    with sent.ground.reading() as session:
        return session.get_one(Job, job_id)


def pieces(sent: Sent) -> int:
    with sent.ground.reading() as session:
        return session.scalar(select(func.count()).select_from(JobFile)) or 0


def file_of(sent: Sent, job_id: int) -> bytes:
    return b"".join(export_files.read(sent.ground, job_of(sent, job_id), clock.now()))


@pytest.mark.parametrize("format_", list(export.FORMATS))
def test_the_job_leaves_the_whole_file(fetched: Sent, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "PIECE_BYTES", 100)
    job_id = ask(fetched, format_)

    export_jobs.run_export(job_id)

    job = job_of(fetched, job_id)
    assert (job.state, job.done, job.total, job.failure) == ("done", 3, 3, None)
    data = file_of(fetched, job_id)
    assert len(data) == job.result["size"] and pieces(fetched) == job.result["pieces"] > 1
    if format_ == "xlsx":
        assert openpyxl.load_workbook(io.BytesIO(data)).active.max_row == 4
    assert list((fetched.ground.settings.data_dir / export_jobs.FOLDER).iterdir()) == []


def test_personal_data_needs_a_purpose_and_aggregates_none(fetched: Sent) -> None:
    with pytest.raises(export.MissingPurpose), fetched.ground.writing() as session:
        export_jobs.start(session, Wanted("deliveries"), actor="account:1", now=clock.now())
    with fetched.ground.writing() as session:
        export_jobs.start(session, Wanted("links"), actor="account:1", now=clock.now())

    with fetched.ground.reading() as session:
        assert session.scalars(select(AuditRow.action)).all() == ["export.links"]


def test_one_that_waits_is_cancelled_at_once(fetched: Sent) -> None:
    job_id = ask(fetched)
    with fetched.ground.writing() as session:
        jobs.cancel(session, session.get_one(Job, job_id), clock.now())

    export_jobs.run_export(job_id)

    assert (job_of(fetched, job_id).state, pieces(fetched)) == ("stopped", 0)


@pytest.mark.parametrize("at", ["writing", "keeping"])
def test_one_cancelled_half_way_leaves_nothing(fetched: Sent, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = ask(fetched)
    module, name = (export_formats, "write") if at == "writing" else (export_files, "store")
    whole = getattr(module, name)

    def cancelled(*arguments: Any) -> Any:
        done = whole(*arguments)
        with fetched.ground.writing() as session:
            jobs.cancel(session, session.get_one(Job, job_id), clock.now())
        return done

    monkeypatch.setattr(module, name, cancelled)
    export_jobs.run_export(job_id)

    assert (job_of(fetched, job_id).state, pieces(fetched)) == ("stopped", 0)
    with pytest.raises(export_files.Gone):
        file_of(fetched, job_id)
    assert list((fetched.ground.settings.data_dir / export_jobs.FOLDER).iterdir()) == []


def test_a_killed_worker_is_followed_by_one_that_ends_with_one_file(fetched: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "PIECE_BYTES", 40)
    job_id = ask(fetched)
    with fetched.ground.writing() as session:
        first = jobs.begin(session, job_id, clock.now())
    export_files.store(fetched.ground, first, io.BytesIO(b"half of an older file " * 40))
    with fetched.ground.writing() as session:
        session.execute(update(Job).values(lease_until=clock.now() - timedelta(seconds=1)))

    export_jobs.run_export(job_id)

    assert job_of(fetched, job_id).state == "done"
    assert file_of(fetched, job_id).count(b"\r\n") == 4
    assert pieces(fetched) == job_of(fetched, job_id).result["pieces"]
    with pytest.raises(jobs.JobTaken):
        export_files.store(fetched.ground, first, io.BytesIO(b"late"))


def test_a_worker_that_another_attempt_overtook_writes_nothing_more(fetched: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = ask(fetched)
    write = export_formats.write

    def overtaken(*arguments: Any) -> Any:
        with fetched.ground.writing() as session:
            session.execute(update(Job).values(lease_until=clock.now() - timedelta(seconds=1)))
        with fetched.ground.writing() as session:
            jobs.begin(session, job_id, clock.now())
        return write(*arguments)

    monkeypatch.setattr(export_formats, "write", overtaken)
    export_jobs.run_export(job_id)

    assert (job_of(fetched, job_id).state, job_of(fetched, job_id).attempt, pieces(fetched)) == ("running", 2, 0)


def test_three_killed_workers_are_enough(fetched: Sent) -> None:
    job_id = ask(fetched)
    with fetched.ground.writing() as session:
        session.execute(update(Job).values(attempt=3))

    export_jobs.run_export(job_id)

    assert job_of(fetched, job_id).state == "failed"


def test_what_a_person_can_mend_is_said_at_the_first_attempt(fetched: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = ask(fetched, "xlsx")
    monkeypatch.setattr(export_formats.importlib.util, "find_spec", lambda _name: None)

    export_jobs.run_export(job_id)

    job = job_of(fetched, job_id)
    assert job.state == "failed" and "kairan[xlsx]" in (job.failure or "")


def test_the_file_goes_after_a_day(fetched: Sent) -> None:
    job_id = ask(fetched)
    export_jobs.run_export(job_id)
    job, later = job_of(fetched, job_id), clock.now() + timedelta(hours=24, minutes=1)

    assert export_files.expire(fetched.ground, clock.now()) == 0
    with pytest.raises(export_files.Gone):
        export_files.read(fetched.ground, job, later)
    assert export_files.expire(fetched.ground, later) == 1
    assert pieces(fetched) == 0


def test_a_file_that_goes_while_it_is_read_ends_short(fetched: Sent) -> None:
    job_id = ask(fetched)
    export_jobs.run_export(job_id)
    reading = export_files.read(fetched.ground, job_of(fetched, job_id), clock.now())
    export_files.drop(fetched.ground, job_id)

    with pytest.raises(export_files.Gone):
        list(reading)


def test_who_asked_gets_it_and_an_administrator(fetched: Sent) -> None:
    job = job_of(fetched, ask(fetched))

    assert export_jobs.may_fetch(job, "account:1", "analyst")
    assert export_jobs.may_fetch(job, "account:2", "admin")
    assert not export_jobs.may_fetch(job, "account:2", "marketer")
    assert not export_jobs.may_fetch(job, "token:1", "marketer")

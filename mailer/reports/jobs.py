"""The export job: writes the file beside the data, puts it into the database, and begins anew after a kill, so that one file is left."""

import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan import audit, clock, i18n, jobs, queues
from kairan.i18n import gettext as _
from kairan.models.accounts import Role
from kairan.models.audience import Member
from kairan.models.jobs import Job
from kairan.runtime import Runtime, runtime
from mailer.reports import audience_figures, export, export_files
from mailer.reports.export import SOURCES, MissingExtra, UnknownColumn, Wanted

KIND = "export"
ATTEMPTS_MAX = 3
TELL_S = 1.0
"""how often progress is told, the lease renewed and a cancellation heard; also while a library closes its file"""
LEFT_S = 24 * 3_600
FOLDER = "exports"

log = logging.getLogger(__name__)


class Cancelled(Exception):
    """Somebody asked to end the export."""


# ---- asking for one


def start(
    session: Session, wanted: Wanted, *, actor: str, now: datetime, by: int | None = None, purpose: str = "", recipient: str = ""
) -> Job:
    """A queued job; ring it after the commit. Raises MissingPurpose for personal data, MissingExtra, UnknownColumn."""
    export.check(session, wanted)
    if SOURCES[wanted.what].is_personal:
        export.provide(session, wanted.scope.campaign_id, actor=actor, purpose=purpose, recipient=recipient, now=now, what=wanted.what)
    else:
        audit.note(session, actor, f"export.{wanted.what}", wanted.scope.campaign_id, {}, now)
    return jobs.create(session, KIND, {**wanted.document(), "actor": actor, "source": wanted.file_name}, now=now, by=by)


def may_fetch(job: Job, actor: str, role: str) -> bool:
    """Who asked for a file gets it, and an administrator."""
    return job.kind == KIND and (job.arguments["actor"] == actor or role == Role.ADMIN)


# ---- working it


def run_export(job_id: int) -> None:
    """RQ function."""
    ground = runtime()
    try:
        with ground.writing() as session:
            job = jobs.begin(session, job_id, clock.now())
            language = jobs.language(session, job)
    except jobs.JobTaken:
        return
    with i18n.speaking(language):
        try:
            _work(ground, job)
        except jobs.JobTaken:
            return
        except Cancelled:
            _end(ground, job, stopped=True)
        except Exception as error:
            failure = _sentence(error)
            if failure is None:
                log.exception("export failed", extra={"job": job_id, "attempt": job.attempt})
                if job.attempt < ATTEMPTS_MAX:
                    return  # its lease runs out and the sweep rings again
                failure = _("The export stopped at an error, which was written to the log.")
            _end(ground, job, failure=failure)


def _sentence(error: Exception) -> str | None:
    """For what a person can mend."""
    if isinstance(error, MissingExtra):
        return str(error)
    if isinstance(error, UnknownColumn):
        return _("A column that was asked for is not there any more: %(name)s", name=error.args[0])
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _("The disk of the data folder is full. Make room and export again.")
    return None


def _end(ground: Runtime, job: Job, failure: str | None = None, stopped: bool = False) -> None:
    export_files.drop(ground, job.id)
    with suppress(jobs.JobTaken), ground.writing() as session:
        jobs.finish(session, job, clock.now(), failure=failure, stopped=stopped)


def _work(ground: Runtime, job: Job) -> None:
    """Raises Cancelled, JobTaken and what writing raises."""
    if job.cancel_asked:
        raise Cancelled
    if job.attempt > ATTEMPTS_MAX:
        raise RuntimeError("the workers of this export were killed")
    wanted = Wanted.of({name: job.arguments[name] for name in Wanted.__dataclass_fields__})
    with _folder(ground) as folder, tempfile.TemporaryFile(dir=folder) as file, _Teller(ground, job, wanted) as teller:
        notes = export.write(ground.database, wanted, file, teller.count, str(folder))
        teller.look()
        _keep(ground, job, file, {"rows": teller.done, "cut": notes.cut})


def _keep(ground: Runtime, job: Job, file: IO[bytes], result: dict[str, int]) -> None:
    file.seek(0)
    size = export_files.store(ground, job, file)
    pieces = -(-size // export_files.PIECE_BYTES)
    with ground.writing() as session:
        rows = result["rows"]
        if jobs.advance(session, job, clock.now()):
            raise Cancelled
        jobs.finish(session, job, clock.now(), done=rows, total=rows, result={**result, "size": size, "pieces": pieces})


def _folder(ground: Runtime) -> "tempfile.TemporaryDirectory[str]":
    """In the data folder, where there is room. What killed workers of this machine left a day ago is taken away."""
    parent = ground.settings.data_dir / FOLDER
    parent.mkdir(mode=0o700, exist_ok=True)
    for left in parent.iterdir():
        if time.time() - _changed(left) > LEFT_S:
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(dir=parent, prefix=f"{os.getpid()}-")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


class _Teller:
    """Beside the writing: tells how far it is, keeps the lease, and hears of a cancellation or another attempt."""

    def __init__(self, ground: Runtime, job: Job, wanted: Wanted) -> None:
        self.ground, self.job, self.done = ground, job, 0
        with ground.reading() as session:
            self.total = SOURCES[wanted.what].total(session, wanted.scope)
        self._ended = threading.Event()
        self._heard: Exception | None = None
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> "_Teller":
        self._advance()
        self.look()
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def count(self, rows: int) -> None:
        """Raises Cancelled, JobTaken."""
        self.look()
        self.done += rows

    def look(self) -> None:
        if self._heard is not None:
            raise self._heard

    def _tell(self) -> None:
        while not self._ended.wait(TELL_S) and self._heard is None:
            self._advance()

    def _advance(self) -> None:
        try:
            with self.ground.writing() as session:
                if jobs.advance(session, self.job, clock.now(), done=self.done, total=max(self.total, self.done)):
                    self._heard = Cancelled()
        except jobs.JobTaken as taken:
            self._heard = taken
        except Exception as error:  # a database that is away for a moment: the lease lasts 60 s
            log.warning("progress of an export could not be told", extra={"job": self.job.id, "error": type(error).__name__})


# ---- figures over all members


AUDIENCE = "mailer.reports.jobs.count_audience"


def ring_audience(ground: Runtime) -> None:
    """Once an hour, where there are too many members for a page to count."""
    with ground.reading() as session:
        kept = audience_figures.stored(session)
        members = session.scalar(select(func.count(Member.id))) or 0
    if members > audience_figures.SMALL and (kept is None or clock.now() - kept.as_of > audience_figures.STALE):
        ground.queues.ring(queues.WORK, AUDIENCE, timeout_s=3_600)


def count_audience() -> None:
    ground, now = runtime(), clock.now()
    with ground.reading() as session:
        kept = audience_figures.stored(session)
        if kept is not None and now - kept.as_of < audience_figures.STALE / 2:
            return
        figures = audience_figures.count(session, now)
    with ground.writing() as session:
        audience_figures.store(session, figures, now)

"""A member file on its way in: stored in pieces as it arrives, then read from there by a job that any machine may run."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from kairan import clock, jobs
from kairan.i18n import gettext as _
from kairan.models.audience import List
from kairan.models.jobs import Job, JobFile, JobState
from kairan.runtime import Runtime

KIND = "import"
UPLOAD, REJECTED = "upload", "rejected"
PIECE_BYTES = 1 << 20
UPLOAD_MAX_BYTES = 100 * 1024 * 1024


class UnknownList(LookupError):
    """There is no such list."""


class ConsentInFuture(ValueError):
    """Nobody can have agreed later than now."""


class UploadTooLarge(ValueError):
    """More than UPLOAD_MAX_BYTES."""


def start_import(
    session: Session,
    *,
    list_id: int,
    consent: str | None,
    consent_at: datetime | None,
    by: int | None,
    now: datetime,
    source: str = "",
) -> Job:
    """A job that waits for its file: `store_upload`, then `jobs.ring`. Raises UnknownList, ConsentInFuture.

    `consent`: where and to which words the rows agreed; None: they come in without consent and no campaign reaches them.
    """
    if session.get(List, list_id) is None:
        raise UnknownList(list_id)
    if consent_at is not None and consent_at > now:
        raise ConsentInFuture(consent_at)
    words = (consent or "").strip() or None
    dated = consent_at.isoformat() if words and consent_at else None
    arguments = {"list_id": list_id, "consent": words, "consent_at": dated, "source": source}
    job = jobs.create(session, KIND, arguments, now=now, by=by)
    # Running under a lease that each piece renews: an upload whose sender died is found by the sweep and told as broken off.
    job.state, job.lease_until = JobState.RUNNING, now + jobs.LEASE
    session.flush()
    return job


def store_upload(ground: Runtime, job: Job, chunks: Iterable[bytes]) -> None:
    """Keeps the file and puts the job into the queue; ring it then.

    Raises UploadTooLarge, and whatever `chunks` raises when the sender breaks off: the job has failed then, with a sentence.
    """
    try:
        size = lines = 0
        for number, piece in enumerate(_pieces(chunks)):
            size, lines = size + len(piece), lines + piece.count(b"\n")
            if size > UPLOAD_MAX_BYTES:
                raise UploadTooLarge(size)
            with ground.writing() as session:
                session.add(JobFile(job_id=job.id, name=UPLOAD, piece=number, data=piece))
                jobs.advance(session, job, clock.now(), total=max(lines - 1, 0))
        with ground.writing() as session:
            now = clock.now()
            jobs.advance(session, job, now, state=JobState.QUEUED, result={"size": size}, total=max(lines - 1, 0))
    except UploadTooLarge:
        _fail(ground, job, _("The file is larger than %(max)s MB. Split it and import the parts.", max=UPLOAD_MAX_BYTES // (1 << 20)))
        raise
    except jobs.JobTaken:
        raise
    except BaseException:
        _fail(ground, job, broken_off())
        raise


def broken_off() -> str:
    return _("The upload was broken off before its end. Nothing was imported; upload the file again.")


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of 1 MiB; the last may be smaller."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)


def _fail(ground: Runtime, job: Job, failure: str) -> None:
    with ground.writing() as session:
        jobs.finish(session, job, clock.now(), failure=failure)
    drop_upload(ground, job.id)


def read_upload(ground: Runtime, job_id: int, offset: int = 0) -> Iterator[bytes]:
    """The file from this byte on, one piece in memory at a time."""
    number, skip = divmod(offset, PIECE_BYTES)
    while True:
        with ground.reading() as session:
            data = session.execute(
                select(JobFile.data).where(JobFile.job_id == job_id, JobFile.name == UPLOAD, JobFile.piece == number)
            ).scalar_one_or_none()
        if data is None:
            return
        yield data[skip:]
        number, skip = number + 1, 0


def drop_upload(ground: Runtime, job_id: int) -> None:
    """The addresses in it are members now or were refused. Piece by piece: SQLite overwrites what it deletes."""
    while True:
        with ground.writing() as session:
            last = session.execute(
                select(func.max(JobFile.piece)).where(JobFile.job_id == job_id, JobFile.name == UPLOAD)
            ).scalar_one()  # fmt: skip
            if last is None:
                return
            session.execute(delete(JobFile).where(JobFile.job_id == job_id, JobFile.name == UPLOAD, JobFile.piece == last))


def read_rejected(ground: Runtime, job_id: int) -> Iterator[bytes]:
    """The rows that were refused, as a CSV file: line, email, reason. Empty if there were none."""
    number = 0
    while True:
        with ground.reading() as session:
            data = session.execute(
                select(JobFile.data).where(JobFile.job_id == job_id, JobFile.name == REJECTED, JobFile.piece == number)
            ).scalar_one_or_none()
        if data is None:
            return
        yield data
        number += 1

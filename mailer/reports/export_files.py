"""The files of exports: kept in pieces in the database, so that any machine's worker writes and any machine's web answers, for a day.

Text is kept deflated (a tenth of its size); XLSX and Parquet are as they are.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO

from sqlalchemy import delete, func, select

from kairan import clock, jobs
from kairan.models.jobs import Job, JobFile, JobState
from kairan.runtime import Runtime
from mailer.reports.export_formats import FORMATS

NAME = "export"
PIECE_BYTES = 1 << 20
KEPT = timedelta(hours=24)


class Gone(LookupError):
    """There is no file: not yet, not any more, or never."""


def store(ground: Runtime, job: Job, file: IO[bytes]) -> int:
    """Keeps the file, a transaction for each piece. Its size. Raises JobTaken."""
    drop(ground, job.id)
    deflated = _is_deflated(job)
    size = number = 0
    while data := file.read(PIECE_BYTES):
        with ground.writing() as session:
            jobs.advance(session, job, clock.now())
            kept = zlib.compress(data, 1) if deflated else data
            session.add(JobFile(job_id=job.id, name=NAME, piece=number, data=kept))
        size, number = size + len(data), number + 1
    return size


def ends_at(job: Job) -> datetime | None:
    """When the download ends; None: there is nothing to download."""
    if job.kind != NAME or job.state != JobState.DONE or job.ended_at is None:
        return None
    return job.ended_at + KEPT


def read(ground: Runtime, job: Job, now: datetime) -> Iterator[bytes]:
    """The file in pieces. Raises Gone, at once or, where housekeeping takes it away meanwhile, in between: the reader's file ends short."""
    end = ends_at(job)
    if end is None or end <= now:
        raise Gone(job.id)
    return _pieces(ground, job.id, _is_deflated(job), int(job.result.get("pieces", 0)))


def _pieces(ground: Runtime, job_id: int, deflated: bool, count: int) -> Iterator[bytes]:
    for number in range(count):
        with ground.reading() as session:
            data = session.scalar(select(JobFile.data).where(JobFile.job_id == job_id, JobFile.name == NAME, JobFile.piece == number))
        if data is None:
            raise Gone(job_id)
        yield zlib.decompress(data) if deflated else data


def _is_deflated(job: Job) -> bool:
    return FORMATS[job.arguments["format"]].is_text


def drop(ground: Runtime, job_id: int) -> None:
    """Takes the pieces away, the last first, 16 in each transaction: SQLite overwrites what it frees."""
    its = JobFile.job_id == job_id, JobFile.name == NAME
    with ground.reading() as session:
        last = session.scalar(select(func.max(JobFile.piece)).where(*its))
    while last is not None and last >= 0:
        with ground.writing() as session:
            session.execute(delete(JobFile).where(*its, JobFile.piece > last - 16))
        last -= 16


def expire(ground: Runtime, now: datetime) -> int:
    """Housekeeping: files whose download has ended, and what a job that did not end well left. How many jobs' there were."""
    ended = Job.state.in_(jobs.ENDED), (Job.state != JobState.DONE) | (Job.ended_at <= now - KEPT)
    with ground.reading() as session:
        has_file = select(JobFile.job_id).where(JobFile.job_id == Job.id, JobFile.name == NAME, JobFile.piece == 0).exists()
        job_ids = list(session.scalars(select(Job.id).where(Job.kind == NAME, *ended, has_file)))
    for job_id in job_ids:
        drop(ground, job_id)
    return len(job_ids)

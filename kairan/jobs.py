"""Background jobs: the row is the truth, RQ rings. A job whose worker died is rung again when its lease is over.

A kind of job is a dotted path in KINDS of whoever owns it; its function takes the job's id, calls `begin`, works in pieces, calls
`advance` with each piece's transaction, and `finish`.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from kairan import clock, installation, queues
from kairan.models.accounts import Account
from kairan.models.jobs import Job, JobState
from kairan.runtime import Runtime
from kairan.sql import locked

LEASE = timedelta(seconds=60)
FUNCTIONS = {
    "import": "mailer.audience.jobs.run_import",
    "suppressions": "mailer.audience.suppression_import.run",
    "export": "mailer.reports.jobs.run_export",
}
"""kind → the RQ function that works it"""

ENDED = (JobState.DONE, JobState.FAILED, JobState.STOPPED)

log = logging.getLogger(__name__)


class JobTaken(Exception):
    """Another worker has this job, or it has ended: nothing is to be done, and nothing was written."""


def create(session: Session, kind: str, arguments: dict[str, Any], *, now: datetime, by: int | None = None) -> Job:
    """A queued job. Ring it after the commit: `ring(runtime, job)`."""
    job = Job(kind=kind, arguments=arguments, created_at=now, created_by=by)
    session.add(job)
    session.flush()
    return job


def ring(ground: Runtime, job_id: int, kind: str) -> None:
    ground.queues.ring(queues.WORK, FUNCTIONS[kind], job_id, timeout_s=6 * 3_600)


def begin(session: Session, job_id: int, now: datetime) -> Job:
    """Takes the job for this worker: a new attempt with a lease. Raises JobTaken."""
    job: Job | None = session.execute(locked(select(Job).where(Job.id == job_id), session)).scalar_one_or_none()
    if job is None or job.state in ENDED:
        raise JobTaken
    if job.state == JobState.RUNNING and job.lease_until is not None and job.lease_until > now:
        raise JobTaken
    job.state, job.lease_until, job.attempt = JobState.RUNNING, now + LEASE, job.attempt + 1
    session.flush()
    return job


def language(session: Session, job: Job) -> str:
    """Of whoever asked for the job: its sentences are for them."""
    spoken = session.execute(select(Account.language).where(Account.id == job.created_by)).scalar_one_or_none()
    return spoken or str(installation.get(session, "language"))


def advance(session: Session, job: Job, now: datetime, **progress: Any) -> bool:
    """Writes progress in the transaction of the piece itself; whether somebody asked to cancel. Raises JobTaken if another attempt has
    begun, so the piece is undone."""
    moved = session.execute(
        update(Job)
        .where(Job.id == job.id, Job.attempt == job.attempt, Job.state == JobState.RUNNING)
        .values(lease_until=now + LEASE, **progress)
        .returning(Job.cancel_asked),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if moved is None:
        raise JobTaken
    return bool(moved.cancel_asked)


def finish(session: Session, job: Job, now: datetime, *, failure: str | None = None, stopped: bool = False, **progress: Any) -> None:
    """Ends the job. `failure` is a sentence for the person who waits; `stopped`: they asked for the end. Raises JobTaken."""
    state = JobState.STOPPED if stopped else JobState.DONE if failure is None else JobState.FAILED
    advance(session, job, now, state=state, ended_at=now, failure=failure, **progress)


def cancel(session: Session, job: Job, now: datetime) -> None:
    """One that waits ends here; one that runs is asked to, and ends at its next piece. Nothing happens to one that has ended."""
    session.execute(locked(select(Job.id).where(Job.id == job.id), session))
    session.refresh(job)
    if job.state == JobState.QUEUED:
        job.state, job.ended_at = JobState.STOPPED, now
    elif job.state == JobState.RUNNING:
        job.cancel_asked = True
    session.flush()


def ring_waiting(ground: Runtime) -> None:
    """Rings what is queued too long or whose worker is dead."""
    now = clock.now()
    with ground.reading() as session:
        waiting = session.execute(
            select(Job.id, Job.kind).where(
                or_(
                    (Job.state == JobState.QUEUED) & (Job.created_at < now - timedelta(seconds=10)),
                    (Job.state == JobState.RUNNING) & (Job.lease_until < now),
                )
            )
        ).all()
    if waiting and not ground.queues.waiting(queues.WORK):
        for job_id, kind in waiting:
            ring(ground, job_id, kind)

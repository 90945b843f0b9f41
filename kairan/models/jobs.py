"""Work that outlives a request: the row is the truth, RQ only rings the bell."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, id_key


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """somebody asked for its end"""


class Job(Base):
    """One piece of background work (an import, an export) with its progress."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "lease_until"),)

    id: Mapped[id_key]
    kind: Mapped[str] = mapped_column(String(20))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(8), default=JobState.QUEUED)
    done: Mapped[int] = mapped_column(BigId, default=0)
    total: Mapped[int | None] = mapped_column(BigId)
    errors: Mapped[int] = mapped_column(BigId, default=0)
    """rows refused; their reasons are in the file `rejected`"""
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    failure: Mapped[str | None] = mapped_column(String(500))
    """a sentence for the person who waits"""
    attempt: Mapped[int] = mapped_column(default=0)
    """+1 at every start; a worker of an older attempt writes nothing"""
    lease_until: Mapped[datetime | None]
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class JobFile(Base):
    """A file of a job in pieces of 1 MiB, in the database so that any machine's worker can read it."""

    __tablename__ = "job_files"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    """`upload` or `rejected` of an import, `export`"""
    piece: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)

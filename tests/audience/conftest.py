"""A running installation with one list, and a way to import a file as the API does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import List, Member
from kairan.models.jobs import Job
from kairan.runtime import Runtime
from mailer.audience import csv_import, jobs
from tests.support.ground import NOW, make_list, make_settings, running


@dataclass
class Audience:
    """A list, and imports into it."""

    ground: Runtime
    list_id: int
    jobs: list[int] = field(default_factory=list)

    def start(self, *, consent: str | None = "Shop form: I want the newsletter", consent_at: datetime | None = None) -> Job:
        with self.ground.writing() as session:
            job = csv_import.start_import(session, list_id=self.list_id, consent=consent, consent_at=consent_at, by=None, now=clock.now())
        self.jobs.append(job.id)
        return job

    def load(self, data: bytes | str, **how: object) -> Job:
        """The whole way: start, store, run; the job as it ended."""
        job = self.start(**how)  # type: ignore[arg-type]
        csv_import.store_upload(self.ground, job, [data if isinstance(data, bytes) else data.encode()])
        jobs.run_import(job.id)
        return self.job(job.id)

    def job(self, job_id: int) -> Job:
        with self.ground.reading() as session:
            return session.get_one(Job, job_id)

    def members(self) -> list[Member]:
        with self.ground.reading() as session:
            return list(session.execute(select(Member).order_by(Member.id)).scalars())

    def rejected(self) -> str:
        return b"".join(csv_import.read_rejected(self.ground, self.jobs[-1])).decode("utf-8-sig")


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with running(make_settings(database_url, tmp_path)) as running_ground:
        yield running_ground


@pytest.fixture
def news(ground: Runtime) -> List:
    with ground.writing() as session:
        return make_list(session, now=NOW)


@pytest.fixture
def audience(ground: Runtime, news: List) -> Audience:
    return Audience(ground, news.id)


@pytest.fixture
def make_audience() -> Callable[[Runtime], Audience]:
    def make(running_ground: Runtime) -> Audience:
        with running_ground.writing() as session:
            return Audience(running_ground, make_list(session, now=NOW).id)

    return make

"""`kairan import`: the same job as the upload page, worked by this very process, with a bar."""

import threading
from collections.abc import Iterator
from pathlib import Path

import click
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import List
from kairan.models.jobs import Job, JobState
from kairan.runtime import Runtime
from mailer.audience import csv_import
from mailer.audience.jobs import run_import

_READ = 1 << 20


def run(ground: Runtime, file: Path, list_name: str, consent: str | None) -> None:
    """Raises ClickException with what to do; ends with the figures."""
    with ground.reading() as session:
        list_id = session.execute(select(List.id).where(List.name == list_name)).scalar_one_or_none()
    if list_id is None:
        raise click.ClickException(f"there is no list called {list_name}: make it first, in the UI or by POST /api/v1/lists")
    with ground.writing() as session:
        job = csv_import.start_import(
            session, list_id=list_id, consent=consent, consent_at=None, by=None, now=clock.now(), source="command"
        )
        job_id = job.id
    csv_import.store_upload(ground, job, _pieces(file))
    worker = threading.Thread(target=run_import, args=(job_id,))
    worker.start()
    _watch(ground, job_id, worker)
    _tell(ground, job_id)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_READ):
            yield piece


def _watch(ground: Runtime, job_id: int, worker: threading.Thread) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("importing", total=None)
        while worker.is_alive():
            worker.join(0.2)
            with ground.reading() as session:
                job = session.get_one(Job, job_id)
            bar.update(shown, completed=job.done, total=job.total)


def _tell(ground: Runtime, job_id: int) -> None:
    with ground.reading() as session:
        job = session.get_one(Job, job_id)
    if job.state != JobState.DONE:
        raise click.ClickException(job.failure or "the import did not end; it goes on in the background")
    figures = job.result
    click.echo(f"imported {figures.get('imported', 0)}, merged {figures.get('merged', 0)}, rejected {job.errors}")
    if job.errors:
        for piece in csv_import.read_rejected(ground, job_id):
            click.echo(piece.decode("utf-8-sig", "replace"), err=True, nl=False)

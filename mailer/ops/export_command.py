"""`kairan export`: written by this very process into the file, with a bar; an export that ends early leaves no file."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
from sqlalchemy import select

from kairan import audit, clock
from kairan.models.audience import List
from kairan.runtime import Runtime
from mailer.reports import export
from mailer.reports.export import FORMATS, SOURCES, Wanted

ACTOR = "system"
STDOUT = Path("-")


def list_id(ground: Runtime, name: str | None) -> int | None:
    """Raises ClickException."""
    if name is None:
        return None
    with ground.reading() as session:
        found = session.execute(select(List.id).where(List.name == name)).scalar_one_or_none()
    if found is None:
        raise click.ClickException(f"there is no list called {name}")
    return found


def run(ground: Runtime, wanted: Wanted, output: Path, purpose: str = "", recipient: str = "") -> None:
    """Raises ClickException with what to do."""
    if output == STDOUT and not FORMATS[wanted.format].is_text:
        raise click.ClickException(f"{wanted.format} is not for a pipe: give --output a file")
    _allow(ground, wanted, purpose, recipient)
    total = _total(ground, wanted)
    with _target(output) as (file, folder), _bar(total) as counted:
        notes = export.write(ground.database, wanted, file, counted, folder)
    if notes.cut:
        click.echo(f"{notes.cut} texts were longer than an Excel cell holds (32,767 characters) and were cut", err=True)


def _allow(ground: Runtime, wanted: Wanted, purpose: str, recipient: str) -> None:
    """Into the register and the audit before the first byte."""
    campaign_id, now = wanted.scope.campaign_id, clock.now()
    try:
        with ground.writing() as session:
            export.check(session, wanted)
            if SOURCES[wanted.what].is_personal:
                export.provide(session, campaign_id, actor=ACTOR, purpose=purpose, recipient=recipient, now=now, what=wanted.what)
            else:
                audit.note(session, ACTOR, f"export.{wanted.what}", campaign_id, {}, now)
    except export.MissingPurpose as unsaid:
        raise click.ClickException(
            f"this is personal data: say --purpose and --recipient ({unsaid.field} is missing or too long)"
        ) from None
    except export.MissingExtra as lacking:
        raise click.ClickException(str(lacking)) from None
    except export.UnknownColumn as unknown:
        raise click.ClickException(f"there is no column {unknown.args[0]}; there are: {', '.join(_names(ground, wanted))}") from None


def _names(ground: Runtime, wanted: Wanted) -> list[str]:
    with ground.reading() as session:
        return [column.name for column in SOURCES[wanted.what].columns(session)]


def _total(ground: Runtime, wanted: Wanted) -> int:
    with ground.reading() as session:
        return SOURCES[wanted.what].total(session, wanted.scope)


@contextmanager
def _target(output: Path) -> Iterator[tuple[IO[bytes], str | None]]:
    """(file, folder for what is written meanwhile). It takes its name only when it is whole; readable by its owner alone."""
    if output == STDOUT:
        yield sys.stdout.buffer, None
        return
    try:
        folder = tempfile.TemporaryDirectory(dir=output.resolve().parent, prefix=".kairan-export-")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    with folder as place:
        part = Path(place) / "part"
        with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            yield file, place
        os.replace(part, output)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("exporting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("exporting", total=total or None)
        yield lambda rows: bar.advance(shown, rows)
        bar.update(shown, total=bar.tasks[0].completed)

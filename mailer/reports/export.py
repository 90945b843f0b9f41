"""An export from asking to file: which rows and columns in which format, and why personal data leaves at all."""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import IO, Any, cast

from sqlalchemy.orm import Session

from kairan import audit
from kairan.addresses import masked
from kairan.database import Database
from kairan.models.audit import Provision
from mailer.reports import export_formats as formats
from mailer.reports.export_formats import BOM, FORMATS, MissingExtra, formula_safe
from mailer.reports.export_sources import SOURCES, TYPES, Column, Row, Scope

__all__ = ["BOM", "FORMATS", "SOURCES", "TYPES", "MissingExtra", "Scope", "formula_safe"]
TEXT_MAX = 500
_HELD = 8
"""pieces that wait for a slow reader"""


class MissingPurpose(Exception):
    """An export of personal data says what for and to whom (PRIVACY.md clause 7). `field`: which of the two is missing or too long."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class UnknownColumn(LookupError):
    """A column was chosen that is not there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`what`: a key of SOURCES. `columns`: their names in the order wanted; empty: all. `mask`: for whoever may not see addresses."""

    what: str
    format: str = "csv"
    columns: tuple[str, ...] = ()
    scope: Scope = field(default_factory=Scope)
    spreadsheet: bool = False
    mask: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Wanted":
        return cls(**{**document, "columns": tuple(document["columns"]), "scope": Scope(**document["scope"])})

    @property
    def file_name(self) -> str:
        campaign = f"-{self.scope.campaign_id}" if self.scope.campaign_id is not None else ""
        return f"{self.what}{campaign}.{self.format}"


def provide(
    session: Session, campaign_id: int | None, *, actor: str, purpose: str, recipient: str, now: datetime, what: str = "events"
) -> None:
    """Writes the export into the register of provisions and the audit; to be committed before the first byte. Raises MissingPurpose."""
    purpose, recipient = purpose.strip(), recipient.strip()
    for name, value in (("purpose", purpose), ("recipient", recipient)):
        if not value or len(value) > TEXT_MAX:
            raise MissingPurpose(name)
    provision = Provision(happened_at=now, actor=actor, what=what, object_id=campaign_id, purpose=purpose, recipient=recipient)
    session.add(provision)
    session.flush()
    audit.note(session, actor, f"export.{what}", campaign_id, {"provision": provision.id}, now)


def pages(database: Database, wanted: Wanted) -> tuple[list[Column], Iterator[list[Row]]]:
    """The chosen columns in the order chosen, and rows of just these. Raises UnknownColumn."""
    source = SOURCES[wanted.what]
    with database.reading() as session:
        there = list(source.columns(session))
    columns = _columns(there, wanted.columns)
    found = source.pages(database, wanted.scope, there)
    if columns != there:
        found = _chosen(found, [there.index(column) for column in columns])
    return columns, _guarded(found, columns) if wanted.mask else found


def check(session: Session, wanted: Wanted) -> None:
    """That it can be written here and its columns are there. Raises MissingExtra, UnknownColumn."""
    formats.demand(wanted.format)
    _columns(SOURCES[wanted.what].columns(session), wanted.columns)


def _columns(there: Sequence[Column], names: Sequence[str]) -> list[Column]:
    by_name = {column.name: column for column in there}
    for name in names:
        if name not in by_name:
            raise UnknownColumn(name)
    return [by_name[name] for name in dict.fromkeys(names)] or list(there)


def _chosen(found: Iterator[list[Row]], places: Sequence[int]) -> Iterator[list[Row]]:
    pick = itemgetter(*places)
    for rows in found:
        yield [pick(row) for row in rows] if len(places) > 1 else [(row[places[0]],) for row in rows]


def _guarded(found: Iterator[list[Row]], columns: Sequence[Column]) -> Iterator[list[Row]]:
    hide = [(place, column.guarded) for place, column in enumerate(columns) if column.guarded]
    for rows in found:
        yield [_hidden(row, hide) for row in rows]


def _hidden(row: Row, hide: Sequence[tuple[int, str]]) -> Row:
    values = list(row)
    for place, how in hide:
        values[place] = masked(values[place]) if how == "masked" and values[place] else None
    return tuple(values)


# ---- as a file, as a stream


def write(database: Database, wanted: Wanted, out: IO[bytes], counted: Any = None, folder: str | None = None) -> formats.Notes:
    """The whole file. `counted(rows)` is called before each page of so many rows; what it raises ends the writing.

    Raises MissingExtra, UnknownColumn.
    """
    columns, found = pages(database, wanted)
    return formats.write(wanted.format, columns, _told(found, counted) if counted else found, out, _options(wanted, folder))


def _told(found: Iterator[list[Row]], counted: Any) -> Iterator[list[Row]]:
    for rows in found:
        counted(len(rows))
        yield rows


def _options(wanted: Wanted, folder: str | None = None) -> formats.Options:
    return formats.Options(spreadsheet=wanted.spreadsheet, title=wanted.what, folder=folder)


def stream(database: Database, wanted: Wanted) -> Iterator[bytes]:
    """The file in pieces as it is made: not XLSX, which is whole only at its end. Call provide() before.

    Members who are recorded in the aggregate have no events of their own, so none is in it.
    Raises MissingExtra, UnknownColumn.
    """
    formats.demand(wanted.format)
    columns, found = pages(database, wanted)
    if FORMATS[wanted.format].is_text:
        return iter(formats.text_pieces(wanted.format, columns, found, _options(wanted)))
    return _piped(wanted.format, columns, found)


class _Pipe:
    """Looks like a file that is only written to; hands on what was written to whoever reads, and waits for them."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_HELD)
        self.closed_by_reader = threading.Event()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.put(bytes(data))
        self.size += len(data)
        return len(data)

    def put(self, piece: bytes | BaseException | None) -> None:
        while not self.closed_by_reader.is_set():
            with suppress(queue.Full):
                return self.pieces.put(piece, timeout=0.5)
        raise BrokenPipeError

    def flush(self) -> None:
        """Nothing is held back."""

    def seek(self, _offset: int, _whence: int = 0) -> int:
        """Only asked for where it stands."""
        return self.size


def _piped(format_: str, columns: Sequence[Column], found: Iterator[list[Row]]) -> Iterator[bytes]:
    """For a library that writes into a file: it does so in a thread of its own."""
    pipe = _Pipe()

    def work() -> None:
        with suppress(BrokenPipeError):
            try:
                formats.write(format_, columns, found, cast(IO[bytes], pipe), formats.Options())
                pipe.put(None)
            except BrokenPipeError:
                raise
            except BaseException as error:
                pipe.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        while (piece := pipe.pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        pipe.closed_by_reader.set()

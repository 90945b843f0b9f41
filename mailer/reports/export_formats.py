"""The four file formats, each written page by page into any file object: CSV, JSON Lines, XLSX and Parquet."""

import csv
import importlib.util
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from kairan.i18n import gettext as _
from mailer.reports.export_sources import Column, Row

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
Cell = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Options:
    """`spreadsheet`: CSV that Excel opens as UTF-8, with dates as it reads them, and that runs no formula. `title`: of the XLSX sheets.
    `folder`: where XLSX keeps its sheets until the end."""

    spreadsheet: bool = False
    title: str = "export"
    folder: str | None = None


@dataclass(slots=True)
class Notes:
    """What a reader has to know of the file."""

    cut: int = 0
    """texts longer than an XLSX cell holds"""


class MissingExtra(Exception):
    """This installation lacks the library that writes the format. Its words say what to install."""

    def __init__(self, format_: str) -> None:
        super().__init__(_("%(format)s needs an extra: install kairan[%(extra)s].", format=_LABELS[format_], extra=format_))


@dataclass(frozen=True, slots=True)
class Format:
    media_type: str
    is_text: bool
    """to be compressed where it is kept, and streamed as it comes"""
    needs: tuple[str, ...] = ()


FORMATS = {
    "csv": Format("text/csv; charset=utf-8", True),
    "xlsx": Format("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", False, ("xlsxwriter",)),
    "parquet": Format("application/vnd.apache.parquet", False, ("arro3.core", "arro3.io")),
    "jsonl": Format("application/x-ndjson", True),
}
_LABELS = {"csv": "CSV", "xlsx": "XLSX", "parquet": "Parquet", "jsonl": "JSON Lines"}


def demand(format_: str) -> None:
    """Raises MissingExtra, KeyError."""
    for module in FORMATS[format_].needs:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # the package that it would be in
            found = None
        if found is None:
            raise MissingExtra(format_)


def write(format_: str, columns: Sequence[Column], pages: Iterable[Sequence[Row]], out: IO[bytes], options: Options) -> Notes:
    """The whole file; what `pages` raises comes out as it is. Raises MissingExtra."""
    demand(format_)
    if format_ == "xlsx":
        from mailer.reports.export_xlsx import write_xlsx

        return write_xlsx(columns, pages, out, options)
    if format_ == "parquet":
        from mailer.reports.export_parquet import write_parquet

        write_parquet(columns, pages, out)
    else:
        for piece in text_pieces(format_, columns, pages, options):
            out.write(piece)
    return Notes()


def text_pieces(format_: str, columns: Sequence[Column], pages: Iterable[Sequence[Row]], options: Options) -> Iterable[bytes]:
    """CSV or JSON Lines, a piece for each page."""
    return _csv(columns, pages, options.spreadsheet) if format_ == "csv" else _json_lines(columns, pages)


# ---- JSON Lines


def zulu(value: datetime) -> str:
    """To the millisecond, whichever place of a second the value ends at."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_JSON: dict[str, Cell] = {"id": str, "time": zulu}


def _json_lines(columns: Sequence[Column], pages: Iterable[Sequence[Row]]) -> Iterable[bytes]:
    names = [column.name for column in columns]
    cells = [(place, _JSON[column.kind]) for place, column in enumerate(columns) if column.kind in _JSON]
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for rows in pages:
        lines = []
        for row in rows:
            values = list(row)
            for place, cell in cells:
                if values[place] is not None:
                    values[place] = cell(values[place])
            lines.append(encode(dict(zip(names, values, strict=True))))
        yield ("\n".join(lines) + "\n").encode("utf-8", "replace")


# ---- CSV


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _names(value: Sequence[str]) -> str:
    return "; ".join(value)


def _sheet_time(value: datetime) -> str:
    """As a spreadsheet in any language reads it as a date; the header says the zone."""
    return value.strftime("%Y-%m-%d %H:%M:%S")


_RAW: dict[str, Cell] = {"id": str, "number": str, "text": str, "flag": _flag, "time": zulu, "names": _names}
_SHEET: dict[str, Cell] = {
    **_RAW,
    "text": lambda value: formula_safe(value),
    "time": _sheet_time,
    "names": lambda value: formula_safe(_names(value)),
}


def header(columns: Sequence[Column], spreadsheet: bool) -> list[str]:
    """In a spreadsheet a time has no zone, so the name says it."""
    if not spreadsheet:
        return [column.name for column in columns]
    return [f"{column.name} (UTC)" if column.kind == "time" else formula_safe(column.name) for column in columns]


def _csv(columns: Sequence[Column], pages: Iterable[Sequence[Row]], spreadsheet: bool) -> Iterable[bytes]:
    cells = [(_SHEET if spreadsheet else _RAW)[column.kind] for column in columns]
    yield ((BOM if spreadsheet else "") + _written([header(columns, spreadsheet)])).encode("utf-8", "replace")
    for rows in pages:
        made = [["" if value is None else cell(value) for cell, value in zip(cells, row, strict=True)] for row in rows]
        yield _written(made).encode("utf-8", "replace")


def _written(rows: Sequence[Sequence[str]]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\r\n").writerows(rows)
    return held.getvalue()


def formula_safe(text: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe before it, also behind spaces and quotes; a number stays a number."""
    if text.lstrip(" '\"").startswith(_FORMULA) and not _is_number(text):
        return "'" + text
    return text


def _is_number(text: str) -> bool:
    """`-5`, `+81 3 1234 5678`: signs before digits run nothing."""
    return text.isascii() and text[:1] in ("+", "-") and text[1:].replace(" ", "").replace(".", "", 1).isdigit()

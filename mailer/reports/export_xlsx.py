"""XLSX with real dates and numbers in flat memory: rows go to disk as they come, and on to another sheet where one is full."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import IO, Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.worksheet import Worksheet

from mailer.reports.export_formats import Notes, Options, header
from mailer.reports.export_sources import Column, Row

ROWS_MAX = 1_048_576
"""of a sheet, its header among them"""
TEXT_MAX = 32_767
"""UTF-16 units in a cell"""
NUMBER_MAX = 999_999_999_999_999
"""Excel keeps 15 digits; an id above is written as text"""
_WIDTHS = {"time": 19, "text": 24, "names": 24, "id": 12, "number": 10, "flag": 9}
_SETTINGS = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}


def write_xlsx(columns: Sequence[Column], pages: Iterable[Sequence[Row]], out: IO[bytes], options: Options) -> Notes:
    """What `pages` raises comes out as it is; its sheets on disk are gone then too."""
    book = xlsxwriter.Workbook(out, {**_SETTINGS, "tmpdir": options.folder})
    book.use_zip64()  # a sheet of over 4 GB, should there be one
    file = _Book(book, columns, options.title)
    try:
        for rows in pages:
            file.add(rows)
        if not file.sheets:
            file.turn()
    except BaseException:
        for sheet in file.sheets:
            sheet.row_data_fh.close()
        raise
    _close(book)
    return file.notes


def _close(book: Any) -> None:
    """Puts the sheets into the file. A full disk comes out as the OSError that it is."""
    try:
        book.close()
    except FileCreateError as error:
        raise (error.args[0] if isinstance(error.args[0], OSError) else error) from None


class _Book:
    """The sheet that is written to, and how far."""

    def __init__(self, book: Any, columns: Sequence[Column], title: str) -> None:
        self.book, self.columns, self.title = book, columns, title
        self.names = header(columns, spreadsheet=True)
        self.head = book.add_format({"bold": True})
        self.time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self.sheets: list[Worksheet] = []
        self.notes = Notes()
        self.row = ROWS_MAX

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self.row == ROWS_MAX:
                self.turn()
            for place, (write, value) in enumerate(zip(self.writers, row, strict=True)):
                if value is not None:
                    write(self.row, place, value)
            self.row += 1

    def turn(self) -> None:
        """On to the next sheet, which begins with the header too."""
        number = len(self.sheets) + 1
        sheet = self.book.add_worksheet(self.title if number == 1 else f"{self.title} {number}")
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(self.columns):
            sheet.set_column(place, place, _WIDTHS[column.kind])
        for place, name in enumerate(self.names):
            sheet.write_string(0, place, name, self.head)
        self.sheets.append(sheet)
        self.writers = [self._writer(sheet, column.kind) for column in self.columns]
        self.row = 1

    def _writer(self, sheet: Worksheet, kind: str) -> Callable[[int, int, Any], Any]:
        def number(row: int, place: int, value: int) -> None:
            if abs(value) <= NUMBER_MAX:
                sheet.write_number(row, place, value)
            else:
                sheet.write_string(row, place, str(value))

        def time(row: int, place: int, value: datetime) -> None:
            sheet.write_datetime(row, place, value.replace(tzinfo=None), self.time)

        def text(row: int, place: int, value: str) -> None:
            if len(value) * 2 > TEXT_MAX:
                value = self._fitting(value)
            sheet.write_string(row, place, value)

        writers: dict[str, Callable[[int, int, Any], Any]] = {
            "id": number,
            "number": number,
            "time": time,
            "text": text,
            "flag": sheet.write_boolean,
            "names": lambda row, place, value: text(row, place, "; ".join(value)),
        }
        return writers[kind]

    def _fitting(self, value: str) -> str:
        units = value.encode("utf-16-le", "replace")
        if len(units) <= TEXT_MAX * 2:
            return value
        self.notes.cut += 1
        return units[: (TEXT_MAX - 1) * 2].decode("utf-16-le", "ignore") + "…"

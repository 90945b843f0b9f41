"""Bytes of a CSV file → records with their line and byte position, in flat memory, whatever the bytes are (RFC 4180, read strictly).

A record that does not parse costs one line: reading goes on at the next one. So an unclosed quotation mark refuses its own row and not
the rest of the file, and 10 MB without a line break are passed over without being kept.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from kairan.i18n import gettext as _

LINE_MAX = 1 << 20
RECORD_MAX_BYTES = 256 * 1024
RECORD_MAX_LINES = 500
DELIMITERS = ",;\t"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `problem`: why it could not be read; then there are no fields."""

    line: int
    fields: list[str]
    problem: str = ""


class _TooLong(Exception):
    pass


class _Skipped(int):
    """A line of so many bytes that was passed over, in the place of its bytes."""


def delimiter_of(header: str) -> str:
    """The delimiter that stands most often in the header line; a comma where there is none."""
    return max(DELIMITERS, key=lambda mark: (header.count(mark), mark == ","))


class Records:
    """Iterates over records. `offset` and `line` say where the next one begins: reading may go on there another time."""

    def __init__(self, pieces: Iterator[bytes], delimiter: str, *, offset: int = 0, line: int = 1, newline: bytes = b"\n") -> None:
        self.offset = offset
        self.line = line
        self._pieces = pieces
        self._newline = newline
        self._buffer = b""
        self._at = 0
        self._taken: list[bytes | _Skipped] = []
        self._taken_bytes = 0
        self._back: list[bytes | _Skipped] = []
        self._csv = csv.reader(_Feed(self), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        line = self.line
        self._taken, self._taken_bytes = [], 0
        try:
            fields = next(self._csv)
        except _TooLong:
            return self._refuse(line, _("the row is too long"))
        except csv.Error:
            return self._refuse(line, _("the quotation marks or line breaks of this row do not fit together"))
        self.offset += self._taken_bytes
        self.line += len(self._taken)
        return Record(line, fields)

    def _refuse(self, line: int, problem: str) -> Record:
        """Gives up the first line only; the others are read again."""
        first, *others = self._taken
        self._back = others + self._back
        self.offset += _size(first)
        self.line += 1
        return Record(line, [], problem)

    def feed(self) -> str:
        """The next line of the record in hand."""
        raw = self._back.pop(0) if self._back else self._read_line()
        self._taken.append(raw)
        self._taken_bytes += _size(raw)
        if isinstance(raw, _Skipped) or self._is_too_long():
            raise _TooLong
        # Bytes that are no UTF-8 come through as lone surrogates, so that only their own row is refused.
        text = raw.decode("utf-8", "surrogateescape")
        return text if self._newline == b"\n" else text.replace("\r", "\n")

    def _is_too_long(self) -> bool:
        return len(self._taken) > 1 and (len(self._taken) > RECORD_MAX_LINES or self._taken_bytes > RECORD_MAX_BYTES)

    def _read_line(self) -> bytes | _Skipped:
        while (end := self._buffer.find(self._newline, self._at)) < 0:
            if len(self._buffer) - self._at > LINE_MAX:
                return self._pass_over()
            piece = next(self._pieces, None)
            if piece is None:
                return self._rest()
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        raw = self._buffer[self._at : end + 1]
        self._at = end + 1
        return raw if len(raw) <= LINE_MAX else _Skipped(len(raw))

    def _rest(self) -> bytes:
        raw, self._buffer, self._at = self._buffer[self._at :], b"", 0
        if not raw:
            raise StopIteration
        return raw

    def _pass_over(self) -> _Skipped:
        """Skips a line of megabytes without keeping it."""
        size = len(self._buffer) - self._at
        self._buffer, self._at = b"", 0
        for piece in self._pieces:
            end = piece.find(self._newline)
            if end >= 0:
                self._buffer, self._at = piece, end + 1
                return _Skipped(size + end + 1)
            size += len(piece)
        return _Skipped(size)


def _size(line: bytes | _Skipped) -> int:
    return line if isinstance(line, _Skipped) else len(line)


class _Feed:
    """What csv reads from. A generator would be over after its first exception; this one goes on."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._records.feed()

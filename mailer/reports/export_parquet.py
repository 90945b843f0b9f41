"""Parquet with types and zstd, in flat memory: arro3 pulls the pages and writes a row group at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Any, cast

from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet as arro3_write

from mailer.reports.export_sources import Column, Row

ROW_GROUP = 100_000
"""rows; what is held in memory before it is written"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = DataType.timestamp("us", tz="UTC")
_TYPES = {"time": _TIME, "id": DataType.int64(), "number": DataType.int64(), "flag": DataType.bool()}


def write_parquet(columns: Sequence[Column], pages: Iterable[Sequence[Row]], out: IO[bytes]) -> None:
    """What `pages` or `out` raises comes out as it is."""
    schema = Schema([Field(column.name, _TYPES.get(column.kind, DataType.string()), nullable=True) for column in columns])
    file = _File(out)

    def batches() -> Iterator[RecordBatch]:
        try:
            for rows in pages:
                file.look()
                values = zip(*rows, strict=True)
                made = [_array(column.kind, list(found)) for column, found in zip(columns, values, strict=True)]
                yield RecordBatch.from_arrays(made, schema=schema)
        except BaseException as error:  # arro3 would tell it as a text of its own
            file.failed = error
            raise

    try:
        arro3_write(
            RecordBatchReader.from_batches(schema, batches()), cast(IO[bytes], file), compression="zstd(3)", max_row_group_size=ROW_GROUP
        )
    except Exception:
        file.look()
        raise
    file.look()


class _File:
    """The file as arro3 sees it: one that never fails, since arro3 panics where a file does. `look` raises what happened."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out = out
        self.failed: BaseException | None = None

    def look(self) -> None:
        if self.failed is not None:
            raise self.failed from None

    def write(self, data: bytes) -> int:
        self._do(lambda: self.out.write(data))
        return len(data)

    def flush(self) -> None:
        self._do(self.out.flush)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.out.seek(offset, whence)

    def _do(self, act: Callable[[], object]) -> None:
        if self.failed is None:
            try:
                act()
            except BaseException as error:
                self.failed = error


def _array(kind: str, values: list[Any]) -> Array:
    if kind == "time":
        return Array([None if value is None else (value - _EPOCH) // _MICROSECOND for value in values], DataType.int64()).cast(_TIME)
    if kind == "names":
        values = ["; ".join(value) for value in values]
    return Array(values, _TYPES.get(kind, DataType.string()))

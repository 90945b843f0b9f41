"""Parquet with types and zstd, in flat memory: arro3 pulls the pages and writes a row group at a time."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Any

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
    """What `pages` raises comes out as it is."""
    schema = Schema([Field(column.name, _TYPES.get(column.kind, DataType.string()), nullable=True) for column in columns])
    raised: list[BaseException] = []

    def batches() -> Iterator[RecordBatch]:
        try:
            for rows in pages:
                values = zip(*rows, strict=True)
                made = [_array(column.kind, list(found)) for column, found in zip(columns, values, strict=True)]
                yield RecordBatch.from_arrays(made, schema=schema)
        except BaseException as error:  # arro3 would tell it as a text of its own
            raised.append(error)
            raise

    try:
        arro3_write(RecordBatchReader.from_batches(schema, batches()), out, compression="zstd(3)", max_row_group_size=ROW_GROUP)
    except Exception:
        if raised:
            raise raised[0] from None
        raise


def _array(kind: str, values: list[Any]) -> Array:
    if kind == "time":
        return Array([None if value is None else (value - _EPOCH) // _MICROSECOND for value in values], DataType.int64()).cast(_TIME)
    if kind == "names":
        values = ["; ".join(value) for value in values]
    return Array(values, _TYPES.get(kind, DataType.string()))

"""Adding to counters by key, many rows in one statement: engagement, links, hours, dropped events.

Rows go in the order of their keys, so two transactions that touch the same rows wait for each other instead of dying of each other.
Times are milliseconds since 1970 until here. Statements go to the driver as text made once: for 2,000 rows SQLAlchemy's own handling
of parameters took longer than SQLite took for all its writing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Session

from kairan.models.base import Base, UtcDateTime
from kairan.sql import is_sqlite

Row = Sequence[Any]


@dataclass(frozen=True)
class Counters:
    """How rows of a table are added to: `sums` go up, `firsts` keep the least time and `lasts` the greatest, `once` stays as it is."""

    model: type[Base]
    sums: tuple[str, ...]
    firsts: tuple[str, ...] = ()
    lasts: tuple[str, ...] = ()
    once: tuple[str, ...] = ()

    def add(self, session: Session, rows: Iterable[Row]) -> None:
        """Rows of key, once, sums, firsts, lasts, each key once."""
        ordered = sorted(rows, key=itemgetter(*range(len(self.keys))))
        if not ordered:
            return
        connection = session.connection()
        if is_sqlite(session):
            times = [place for place, name in enumerate(self.names) if self._is_time(name)]
            connection.exec_driver_sql(self._sqlite, [_sqlite_row(row, times) for row in ordered])
        else:
            columns = zip(*ordered, strict=True)
            connection.exec_driver_sql(self._postgres, tuple(array(column) for column in columns))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._table.primary_key)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*self.keys, *self.once, *self.sums, *self.firsts, *self.lasts)

    @cached_property
    def _sqlite(self) -> str:
        return f"{self._head} VALUES ({', '.join('?' * len(self.names))}) {self._on_conflict('min', 'max')}"

    @cached_property
    def _postgres(self) -> str:
        """276,000 rows/s against 158,000 of executemany (BENCHMARKS.md 7); an array as text is read 2.5 times faster than psycopg's."""
        given = ", ".join(f"to_timestamp({name} / 1000.0)" if self._is_time(name) else name for name in self.names)
        arrays = ", ".join(f"%s::text::{self._postgres_type(name)}[]" for name in self.names)
        unnested = f"unnest({arrays}) AS given({', '.join(self.names)})"
        return f"{self._head} SELECT {given} FROM {unnested} {self._on_conflict('least', 'greatest')}"

    @property
    def _table(self) -> Table:
        return self.model.__table__  # type: ignore[return-value]

    @property
    def _head(self) -> str:
        return f"INSERT INTO {self._table.name} ({', '.join(self.names)})"

    def _on_conflict(self, least: str, greatest: str) -> str:
        table = self._table.name
        changes = [f"{name} = {table}.{name} + excluded.{name}" for name in self.sums]
        # SQLite's min() of a NULL is NULL, and PostgreSQL's is not: each side stands in for the other.
        changes += [
            f"{name} = {least}(coalesce({table}.{name}, excluded.{name}), coalesce(excluded.{name}, {table}.{name}))"
            for name in self.firsts
        ]
        changes += [f"{name} = {greatest}({table}.{name}, excluded.{name})" for name in self.lasts]
        return f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {', '.join(changes)}"

    def _is_time(self, name: str) -> bool:
        return isinstance(self._table.c[name].type, UtcDateTime)

    def _postgres_type(self, name: str) -> str:
        return "text" if self._table.c[name].type.python_type is str else "bigint"


def array(values: Iterable[int | str | None]) -> str:
    """As PostgreSQL writes an array."""
    return "{" + ",".join(["NULL" if value is None else str(value) if isinstance(value, int) else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(ms: int) -> str:
    """A moment in UTC as SQLAlchemy stores it on SQLite; PostgreSQL reads it with `+00` behind it."""
    return f"{_second(ms // 1_000)}.{ms % 1_000:03d}000"


@lru_cache(maxsize=20_000)
def _second(since_1970: int) -> str:
    """Fetches come in bursts, so most share their second with others."""
    return str(datetime.fromtimestamp(since_1970, UTC).replace(tzinfo=None))


def _sqlite_row(row: Row, times: Sequence[int]) -> tuple[Any, ...]:
    changed = list(row)
    for place in times:
        if changed[place] is not None:
            changed[place] = written(changed[place])
    return tuple(changed)

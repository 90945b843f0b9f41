"""The few places where PostgreSQL and SQLite say the same thing differently."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Integer, Text, bindparam, cast, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.functions import GenericFunction


class email_domain(GenericFunction[str]):
    """What stands behind the last @ of an address as it is written, in small letters."""

    type = Text()
    inherit_cache = True


@compiles(email_domain, "postgresql")
def _email_domain_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    return f"lower(substring({compiler.process(element.clauses, **more)} from '[^@]*$'))"


@compiles(email_domain, "sqlite")
def _email_domain_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    """SQLite finds only the first of something: what is left when all but the @ are taken from the end is the part to take away."""
    email = compiler.process(element.clauses, **more)
    return f"lower(replace({email}, rtrim({email}, replace({email}, '@', '')), ''))"


STEPS = 10_000
"""of SQLite's machine between two looks at the clock: some tenths of a millisecond"""


class TookTooLong(Exception):
    """A statement was ended because its time was over."""


def is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def among(session: Session, column: InstrumentedAttribute[Any], values: Iterable[int]) -> ColumnElement[bool]:
    """`column` is one of these numbers, as one parameter: IN with 2,000 parameters costs more than the work itself."""
    if is_sqlite(session):
        each = func.json_each(bindparam(None, json.dumps(list(values)), Text)).table_valued("value", name="each")
        return column.in_(select(cast(each.c.value, Integer)))
    return column == func.any(bindparam(None, list(values), ARRAY(BigInteger)))


def among_bound(column: InstrumentedAttribute[Any], name: str, *, sqlite: bool) -> ColumnElement[bool]:
    """`among` for a statement that is built once: give the numbers as parameter `name`, by `numbers(…)`."""
    if sqlite:
        each = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"each_{name}")
        return column.in_(select(cast(each.c.value, Integer)))
    return column == func.any(bindparam(name, type_=ARRAY(BigInteger)))


def numbers(values: Iterable[int], *, sqlite: bool) -> Any:
    return json.dumps(list(values)) if sqlite else list(values)


def insert(session: Session, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT."""
    return sqlite.insert(table) if is_sqlite(session) else postgresql.insert(table)


def locked(statement: Any, session: Session, *, skip: bool = False, weak: bool = False) -> Any:
    """FOR UPDATE on PostgreSQL (`weak`: FOR NO KEY UPDATE); SQLite's write transaction already stands alone."""
    return statement if is_sqlite(session) else statement.with_for_update(skip_locked=skip, key_share=weak)


def with_room(session: Session) -> None:
    """Memory for the hashes of this transaction. By itself PostgreSQL gives one 8 MB, and looks each member up in the whole of a list of
    500,000 that does not fit: a count of recipients took minutes."""
    if not is_sqlite(session):
        session.execute(text("SET LOCAL work_mem = '256MB'"))


@contextmanager
def within(session: Session, seconds: float) -> Iterator[None]:
    """Ends a statement inside that takes longer; the transaction goes on. Only for reading. Raises TookTooLong."""
    try:
        with _limited_sqlite(session, seconds) if is_sqlite(session) else _limited_postgres(session, seconds):
            yield
    except OperationalError as error:
        if "interrupted" in str(error.orig) or getattr(error.orig, "sqlstate", "") == "57014":  # query_canceled
            raise TookTooLong from None
        raise


@contextmanager
def _limited_sqlite(session: Session, seconds: float) -> Iterator[None]:
    connection: Any = session.connection().connection.driver_connection
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def _limited_postgres(session: Session, seconds: float) -> Iterator[None]:
    """The savepoint takes the failure; rolled back, it takes the limit back too."""
    with session.begin_nested():
        session.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1_000)}"))
        yield
        session.execute(text("SET LOCAL statement_timeout TO DEFAULT"))

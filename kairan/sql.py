"""The few places where PostgreSQL and SQLite say the same thing differently."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Integer, Text, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite
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

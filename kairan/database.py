"""SQLite and PostgreSQL through one layer: sessions, write locks, schema version.

SQLite: WAL, synchronous=FULL; a write session first waits in line at a file lock, then begins IMMEDIATE, so nobody meets "database is
locked" halfway. No write transaction may take longer than 50 ms there. PostgreSQL: READ COMMITTED, which DESIGN.md's locks are made for.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from kairan import resources
from kairan.models import every  # noqa: F401  # foreign keys find their tables only once all are imported
from kairan.models.installation import Mark
from kairan.settings import SettingError

WRITE_MAX_MS = 50
IDLE_IN_TRANSACTION_S = 20
# libpq's; without them a client waits a quarter of an hour for a server that is cut off. They mean nothing on a unix socket.
_NOTICES_SILENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_WRITE = "kairan_write"
_MIGRATION_LOCK = 0x6B616972  # "kair": the advisory lock that two processes starting at once meet at


class SchemaTooOld(RuntimeError):
    """The database's schema is older than this program: `kairan migrate` brings it up."""


class SchemaTooNew(RuntimeError):
    """The database was migrated by a newer program than this one."""


class Database:
    """One database of this process. Dispose it before a fork; a child opens its own."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._lock_path = _lock_path(url) if self.is_sqlite else None
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url, pool_size)
        self._write_engine = self.engine.execution_options(**{_WRITE: True})

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that may write: committed at the end, rolled back on an exception."""
        with self._in_line(), Session(self._write_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads; SQLite readers never wait for a writer."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if not self.is_sqlite:
                session.execute(text("SET TRANSACTION READ ONLY"))
            yield session

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        if self._lock_path is None:
            yield
            return
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def migration_lock(self) -> Iterator[Connection]:
        """One process migrates at a time; the transaction holds the whole migration."""
        with self._in_line(), self._write_engine.connect() as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield connection

    def dispose(self) -> None:
        self.engine.dispose()

    def forget(self) -> None:
        """In a forked child: drops the parent's connections without closing them."""
        self.engine.dispose(close=False)


def _lock_path(url: str) -> Path | None:
    name = make_url(url).database
    return Path(name + ".lock") if name and name != ":memory:" else None


def _sqlite_engine(url: str) -> Engine:
    name = make_url(url).database
    if name and name != ":memory:":
        Path(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # hide_parameters: an error that reaches the log must not bring addresses along.
    engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None, "check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")

    return engine


def _postgres_engine(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        connect_args=_NOTICES_SILENCE,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # A machine that dies or is cut off in the middle of a gate leaves its locks with the server: members could not say no, and its
        # lane not be recovered, until TCP gave up two hours later.
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")
        connection.commit()

    return engine


def migrate(url: str) -> None:
    """Brings the schema to the newest version; two processes that start at once take turns."""
    from alembic import command  # 0.6 s to import: only who migrates pays for it

    database = Database(url)
    try:
        with database.migration_lock() as connection:
            command.upgrade(alembic_config(connection), "head")
    finally:
        database.dispose()


def alembic_config(connection: Connection | None = None) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.path("kairan/migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest_schema() -> str:
    """The revision that this program was written for."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError("the migrations are missing from this installation")
    return head


def check_schema(database: Database) -> None:
    """Raises SchemaTooOld or SchemaTooNew. A table of another version is never written to."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            raise SchemaTooOld("the database is empty: run `kairan migrate` first")
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found != newest_schema():
        if found in known_schemas():
            raise SchemaTooOld(f"the database's schema is {found}: run `kairan migrate`")
        raise SchemaTooNew(f"the database's schema {found} comes from a newer Kairan: install that one here too")


def known_schemas() -> set[str]:
    from alembic.script import ScriptDirectory

    return {revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def check_secret(session: Session, fingerprint: str) -> None:
    """The database remembers which secret its tokens and address keys were made with. Raises SettingError on another one."""
    mark = session.execute(select(Mark).where(Mark.name == "secret")).scalar_one_or_none()
    if mark is None:
        session.add(Mark(name="secret", value=fingerprint))
        session.flush()
    elif mark.value != fingerprint:
        raise SettingError(
            "KAIRAN_SECRET_KEY (or secret.key in the data folder) is not the one this database was made with: "
            "give back the old one, else no opt-out and no link in sent mails would be recognised"
        )

"""What a process holds once: settings, database, keys, Redis. Made at the edge (app, job, command), handed to whoever needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from kairan import database as db
from kairan import secrets as keys
from kairan import settings as configuration
from kairan.queues import Queues

if TYPE_CHECKING:
    from redis import Redis


@dataclass
class Runtime:
    """One process's ground. After a fork the child calls `forget()` and opens its own connections."""

    settings: configuration.Settings
    secrets: keys.Secrets = field(repr=False)
    database: db.Database

    @cached_property
    def queues(self) -> Queues:
        return Queues(self.settings)

    @property
    def redis(self) -> "Redis":
        return self.queues.redis

    @contextmanager
    def writing(self) -> Iterator[Session]:
        with self.database.writing() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self.database.reading() as session:
            yield session

    def forget(self) -> None:
        self.database.forget()
        self.__dict__.pop("queues", None)

    def close(self) -> None:
        self.database.dispose()
        if "queues" in self.__dict__:
            self.queues.close()
            del self.__dict__["queues"]


_current: Runtime | None = None


def start(given: configuration.Settings | None = None) -> Runtime:
    """A runtime from the settings; checks that schema and secret fit this process."""
    effective = given or configuration.load()
    secrets = keys.load(effective)
    runtime = Runtime(effective, secrets, db.Database(effective.database_url))
    db.check_schema(runtime.database)
    with runtime.writing() as session:
        db.check_secret(session, secrets.fingerprint)
    return runtime


def runtime() -> Runtime:
    """The process's own, started on first use: what an RQ job or a command asks for."""
    global _current
    if _current is None:
        _current = start()
    return _current


def use(given: Runtime | None) -> None:
    """Makes this one the process's own (app factory, tests); None forgets it."""
    global _current
    _current = given


@contextmanager
def session_scope() -> Iterator[Session]:
    """A write transaction on the process's own database."""
    with runtime().writing() as session:
        yield session

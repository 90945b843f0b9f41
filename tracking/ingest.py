"""From the stream into the database: staged, judged step by step, added up, all in one transaction with the stream's position.

Rows, engagement, hours, counts and the stream position commit together, so a drain that is killed anywhere neither loses nor doubles;
what it had read stays in the stream and is skipped by its position. A new Redis is a new epoch and is read from its beginning.
"""

import logging
import secrets
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from kairan.database import Database
from kairan.models.events import StreamPosition
from kairan.sql import insert
from tracking import partitions, rollups, staging, steps
from tracking.buffer import STREAM
from tracking.networks import NOTHING, Networks
from tracking.staging import StreamEntry

if TYPE_CHECKING:
    from redis import Redis

EPOCH = "kairan:events:epoch"
ENTRIES = 20
AT_ONCE_BYTES = 1_000_000
AT_ONCE_BYTES_SQLITE = 20_000
"""a full entry, 500 fetches: no write transaction there should take longer than 50 ms"""
START = "0-0"

log = logging.getLogger(__name__)


def drain(database: Database, redis: "Redis", now: datetime, known: Networks = NOTHING) -> int:
    """Takes the next entries of the stream. Returns how many; 0: there is nothing more, or Redis is away."""
    _make_months(database, now)
    try:
        taken = _drain(database, redis, now, known)
    except (RedisConnectionError, RedisTimeoutError) as error:
        _trouble.note(error)
        return 0
    _trouble.over()
    return taken


def _drain(database: Database, redis: "Redis", now: datetime, known: Networks) -> int:
    if not redis.xlen(STREAM):
        return 0
    epoch = _epoch(redis)
    position = _position(database, now)
    last_id = position.last_id if position.epoch == epoch else START
    entries = _read(redis, epoch, last_id, AT_ONCE_BYTES_SQLITE if database.is_sqlite else AT_ONCE_BYTES)
    if entries:
        newest = entries[-1][0].decode()
        with database.writing() as session:
            if not _take(session, position, epoch, newest, now):
                return 0
            dropped = staging.stage(session, entries, known)
            steps.judge(session)
            rollups.add(session, dropped, now)
        last_id = newest
    trim(redis, last_id)
    return len(entries)


def trim(redis: "Redis", last_id: str) -> None:
    """Takes what is committed out of the stream."""
    if last_id != START:
        ms, _, sequence = last_id.partition("-")
        redis.xtrim(STREAM, minid=f"{ms}-{int(sequence) + 1}", approximate=False)


# ---- position


def _epoch(redis: "Redis") -> str:
    """The name of this Redis's life; one that lost its data gets a new name."""
    redis.set(EPOCH, secrets.token_hex(16), nx=True)
    found = redis.get(EPOCH)
    return found.decode() if isinstance(found, bytes) else ""


def _position(database: Database, now: datetime) -> StreamPosition:
    query = select(StreamPosition).where(StreamPosition.stream == STREAM)
    with database.reading() as session:
        found = session.execute(query).scalar_one_or_none()
    if found is not None:
        return found
    # Committed by itself: tracking.erasure waits at this row, so it must be there before the first drain.
    with database.writing() as session:
        row = {"stream": STREAM, "epoch": "", "last_id": START, "updated_at": now}
        session.execute(insert(session, StreamPosition).values(**row).on_conflict_do_nothing())
        return session.execute(query).scalar_one()


def _read(redis: "Redis", epoch: str, last_id: str, most_bytes: int) -> list[StreamEntry]:
    """What stands after last_id, if Redis is still the one it was: asked in one transaction, or a flush in between would be missed."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.get(EPOCH)
        pipe.xrange(STREAM, min=f"({last_id}", count=ENTRIES)
        found, entries = pipe.execute()
    if found is None or found.decode() != epoch:
        return []
    sizes = accumulate(sum(map(len, fields.values())) for _id, fields in entries)
    fitting = sum(size <= most_bytes for size in sizes)
    return list(entries[: max(fitting, 1)])


def _take(session: Session, position: StreamPosition, epoch: str, newest: str, now: datetime) -> bool:
    """Moves the position from where it was read, and holds its row until the commit. False: another drain was quicker."""
    moved = session.execute(
        update(StreamPosition)
        .where(StreamPosition.stream == STREAM, StreamPosition.epoch == position.epoch, StreamPosition.last_id == position.last_id)
        .values(epoch=epoch, last_id=newest, updated_at=now),
        execution_options={"synchronize_session": False},
    )
    return bool(moved.rowcount)  # type: ignore[attr-defined]


# ---- once an hour, once a trouble

_months_made: dict[str, datetime] = {}


def _make_months(database: Database, now: datetime) -> None:
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if database.is_sqlite or _months_made.get(database.url) == hour:
        return
    _months_made[database.url] = hour
    try:
        with database.writing() as session:
            partitions.make_ahead(session, now)
    except SQLAlchemyError as error:  # the default partition takes what has no month
        log.warning("months not made", extra={"error": type(error).__name__})


class _Trouble:
    """Said once when it begins and once when it is over: a drain is tried five times a second."""

    def __init__(self) -> None:
        self.lasts = False

    def note(self, error: Exception) -> None:
        if not self.lasts:
            log.warning("events wait in Redis, which is away", extra={"error": type(error).__name__})
        self.lasts = True

    def over(self) -> None:
        if self.lasts:
            log.info("events are drained again")
        self.lasts = False


_trouble = _Trouble()

"""From the stream into the database: named steps that keep a fetch or drop it with a counted reason, then everything in one transaction.

Rows, engagement, hours, counts and the stream position commit together, so a drain that is killed anywhere neither loses nor doubles;
what it had read stays in the stream and is skipped by its position. A new Redis is a new epoch and is read from its beginning.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from kairan.database import Database
from kairan.models.audience import Recording
from kairan.models.events import StreamPosition
from kairan.sql import insert
from tracking import machines, packing, partitions, record
from tracking.batch import Batch, Seen
from tracking.buffer import FIELD, STREAM

if TYPE_CHECKING:
    from redis import Redis

EPOCH = "kairan:events:epoch"
ENTRIES = 20
AT_ONCE_BYTES = 1_000_000
AT_ONCE_BYTES_SQLITE = 20_000
"""a full entry, 500 fetches: no write transaction there should take longer than 50 ms"""
START = "0-0"
CLOCKS_MS = 30 * 86_400_000
"""no fetch waits longer than this; a time further from the entry's own is made up"""
AGAIN_MS = 1_000
RECENT_MAX = 50_000

log = logging.getLogger(__name__)

StreamEntry = tuple[bytes, dict[bytes, bytes]]
Reason = Callable[[Seen], str | None]
"""of one step: None keeps the fetch, else why it is dropped"""


def drain(database: Database, redis: "Redis", now: datetime) -> int:
    """Takes the next entries of the stream. Returns how many; 0: there is nothing more, or Redis is away."""
    _make_months(database, now)
    try:
        taken = _drain(database, redis, now)
    except (RedisConnectionError, RedisTimeoutError) as error:
        _trouble.note(error)
        return 0
    _trouble.over()
    return taken


def _drain(database: Database, redis: "Redis", now: datetime) -> int:
    if not redis.xlen(STREAM):
        return 0
    epoch = _epoch(redis)
    position = _position(database, now)
    last_id = position.last_id if position.epoch == epoch else START
    entries = _read(redis, epoch, last_id, AT_ONCE_BYTES_SQLITE if database.is_sqlite else AT_ONCE_BYTES)
    if entries:
        newest = entries[-1][0].decode()
        batch = decode(entries)
        with database.writing() as session:
            if not _take(session, position, epoch, newest, now):
                return 0
            recent = _recent.of(epoch)
            settle(session, batch, recent, now)
        recent.keep(batch)
        last_id = newest
    trim(redis, last_id)
    return len(entries)


def settle(session: Session, batch: Batch, recent: "Recent", now: datetime) -> None:
    """The steps one after another, and what is left of the batch is written."""
    batch.look_up(session)
    batch.recent = recent.last
    for step in STEPS:
        batch.sift(step(batch))
    record.write(session, batch, now)


def trim(redis: "Redis", last_id: str) -> None:
    """Takes what is committed out of the stream."""
    if last_id != START:
        ms, _, sequence = last_id.partition("-")
        redis.xtrim(STREAM, minid=f"{ms}-{int(sequence) + 1}", approximate=False)


# ---- steps


def decode(entries: Sequence[StreamEntry]) -> Batch:
    """Fetches with the place where they stood. What nobody of ours can have written is counted, one an entry."""
    batch = Batch()
    for entry_id, fields in entries:
        ms, _, sequence = entry_id.decode().partition("-")
        try:
            if int(ms) >= 2**43 or int(sequence) >= 2**20:
                raise packing.Malformed(entry_id)
            entry = packing.unpack(fields[FIELD])
        except (packing.Malformed, KeyError):
            batch.dropped["malformed"] += 1
            continue
        for code, count in entry.lost.items():
            batch.dropped[packing.LOST[code]] += count
        place = int(ms) * 2**20 + int(sequence)
        batch.fetches += [Seen(fetch, place, slot) for slot, fetch in enumerate(entry.fetches)]
    return batch


def known(batch: Batch) -> Reason:
    """Campaign and delivery exist, and the time can be true."""

    def reason(seen: Seen) -> str | None:
        fetch = seen.fetch
        if abs((seen.entry >> 20) - fetch.ms) > CLOCKS_MS:
            return "clock"
        if fetch.campaign_id not in batch.campaigns:
            return "unknown"
        return None if fetch.number == 0 or (fetch.campaign_id, fetch.number) in batch.deliveries else "unknown"

    return reason


def choice(batch: Batch) -> Reason:
    """The stricter of what campaign and member say now. Who chose the aggregate is counted, without a name on it."""

    def reason(seen: Seen) -> str | None:
        recording = batch.campaigns[seen.fetch.campaign_id]
        if recording == Recording.NONE:
            return "not_recorded"
        if seen.fetch.number == 0:
            seen.anonymous = True
            return None
        delivery = batch.deliveries[seen.fetch.campaign_id, seen.fetch.number]
        if delivery.recording is None:
            return "erased"
        if delivery.suspended:
            return "suspended"
        if delivery.recording == Recording.NONE:
            return "refused"
        seen.anonymous = Recording.AGGREGATE in (recording, delivery.recording)
        return None

    return reason


def machine_or_person(batch: Batch) -> Reason:
    """Drops nothing: machines are kept, and told apart."""

    def reason(seen: Seen) -> str | None:
        fetch = seen.fetch
        delivery = batch.deliveries.get((fetch.campaign_id, fetch.number))
        seen.verdict = machines.judge(
            fetch.agent,
            is_head=fetch.is_head,
            ms=fetch.ms,
            accepted_ms=delivery.accepted_ms if delivery else None,
            waits=delivery.waits if delivery else False,
        )
        return None

    return reason


def duplicate(batch: Batch) -> Reason:
    """The same delivery, kind and link within a second is one act: mail programs fetch an image twice, people double-click."""
    recent, now_seen = batch.recent, batch.now_seen

    def reason(seen: Seen) -> str | None:
        fetch = seen.fetch
        if fetch.number == 0:
            return None
        key = seen.key
        before = now_seen.get(key, recent.get(key))
        if before is not None and abs(fetch.ms - before) < AGAIN_MS:
            return "duplicate"
        now_seen[key] = fetch.ms
        return None

    return reason


STEPS: tuple[Callable[[Batch], Reason], ...] = (known, choice, machine_or_person, duplicate)
"""after decode, before the rows"""


class Recent:
    """When each delivery was last seen doing what: this process's memory of the last batches of one epoch, kept after the commit."""

    def __init__(self) -> None:
        self.epoch = ""
        self.last: dict[tuple[int, ...], int] = {}

    def of(self, epoch: str) -> "Recent":
        if epoch != self.epoch:
            self.epoch, self.last = epoch, {}
        return self

    def keep(self, batch: Batch) -> None:
        if len(self.last) > RECENT_MAX:
            self.last = {}
        self.last.update(batch.now_seen)


_recent = Recent()


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

"""`kairan bench drain`: events from the Redis stream into the database, beside the bare writing of the same rows in the same run."""

import os
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text, update

from kairan import clock, runtime
from kairan.models.deliveries import Delivery, State
from kairan.models.events import EventKind
from mailer.bench import ground as bench_ground
from mailer.bench import sample, send
from tracking import ingest, packing
from tracking.buffer import FIELD, STREAM
from tracking.packing import Fetch

EVENTS = 100_000
AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{at}.0) Gecko/20100101 Thunderbird/{at}.0" for at in range(100, 130)]
PER_SECOND = 2_000
"""of the events' own times: an hour's reading in a minute"""


def measure(url: str | None, *, count: int, rounds: int = 3) -> Iterator[tuple[str, object]]:
    """Pairs to print, the ratio last. `count`: recipients of the campaign, whose opens and clicks are 3 to 1."""
    with tempfile.TemporaryDirectory(prefix="kairan-bench-") as name, bench_ground.running(Path(name), url) as ground:
        yield "machine", f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        yield "database", "sqlite" if ground.settings.is_sqlite else "postgresql"
        yield from _rounds(ground, count, rounds)


def _rounds(ground: runtime.Runtime, count: int, rounds: int) -> Iterator[tuple[str, object]]:
    campaign_id = _sent_campaign(ground, count)
    chance, pairs = random.Random(1), []
    for at in range(rounds):
        _fill(ground, campaign_id, count, chance, ms=int((clock.now() - timedelta(minutes=30 - at)).timestamp() * 1_000))
        spans: list[float] = []
        began = time.perf_counter()
        while True:
            one = time.perf_counter()
            if not ingest.drain(ground.database, ground.redis, clock.now()):
                break
            spans.append(time.perf_counter() - one)
        rate = EVENTS / (time.perf_counter() - began)
        bare = _bare(ground)
        pairs.append((rate / bare, rate, bare, max(spans) * 1e3))
    ratio, rate, bare, worst = sorted(pairs)[len(pairs) // 2]
    yield "recipients", count
    yield "events", EVENTS
    yield "control", "bare executemany" if ground.settings.is_sqlite else "bare COPY"
    yield "events_per_s", round(rate)
    yield "control_events_per_s", round(bare)
    yield "worst_ms", round(worst)
    yield "ratios", " ".join(f"{pair[0]:.2f}" for pair in pairs)
    yield "ratio", f"{ratio:.2f}"


def _sent_campaign(ground: runtime.Runtime, count: int) -> int:
    now = clock.now()
    with ground.writing() as session:
        list_id = sample.audience(session, ground.secrets, count, now)
    campaign_id = send.prepare(ground, list_id)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, ended_at=now - timedelta(hours=1), due_at=None))
        if not ground.settings.is_sqlite:
            session.execute(text("ANALYZE deliveries"))
    return campaign_id


def _fill(ground: runtime.Runtime, campaign_id: int, count: int, chance: random.Random, ms: int) -> None:
    def fetch(at: int) -> Fetch:
        kind, link = (EventKind.OPEN, 0) if at % 4 else (EventKind.CLICK, chance.randrange(1, sample.LINKS + 1))
        when = ms + at * 1_000 // PER_SECOND + chance.randrange(200)
        return Fetch(campaign_id, chance.randrange(1, count + 1), kind, link, when, False, chance.choice(AGENTS), chance.randbytes(3))

    for first in range(0, EVENTS, packing.FETCHES_MAX):
        ground.redis.xadd(STREAM, {FIELD: packing.pack([fetch(first + at) for at in range(packing.FETCHES_MAX)], {})})


def _bare(ground: runtime.Runtime) -> float:
    """Rows a second of the events alone, into a table of the same shape without an index, in as many transactions as the drain took."""
    with ground.reading() as session:
        rows = [tuple(row) for row in session.execute(text("SELECT * FROM events ORDER BY occurred_at DESC LIMIT :most"), {"most": EVENTS})]
    with ground.writing() as session:
        session.execute(text("DROP TABLE IF EXISTS bench_events"))
        session.execute(text("CREATE TABLE bench_events AS SELECT * FROM events WHERE 1 = 0"))
    began = time.perf_counter()
    for first in range(0, len(rows), 10_000):
        with ground.writing() as session:
            _write(session.connection(), rows[first : first + 10_000])
    took = time.perf_counter() - began
    with ground.writing() as session:
        session.execute(text("DROP TABLE bench_events"))
    return len(rows) / took


def _write(connection: Any, rows: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"INSERT INTO bench_events VALUES ({', '.join('?' * len(rows[0]))})", rows)
        return
    with connection.connection.driver_connection.cursor() as cursor, cursor.copy("COPY bench_events FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)

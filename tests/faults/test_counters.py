"""Counters are what their events add up to, whatever is killed while mail is read: web, scheduler, Valkey, database (F6–F8)."""

import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, update

from kairan import clock
from kairan.models.campaigns import Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Event, IngestCount
from kairan.runtime import Runtime
from tests.faults.databases import MortalPostgres, mortal
from tests.support import ground as make
from tests.support import recount
from tests.support.installation import free_port, wait_for
from tests.support.processes import dies_with_parent
from tracking.buffer import STREAM

MEMBERS = 3_000
READERS = 4
PAUSE_S = 0.006
"""between two fetches of one reader: some 500 a second in all, so that 20 kills fall into 20,000 fetches"""
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0",
)
LINKS = "".join(f'<p><a href="https://shop.example/{at}">Story {at}</a></p>' for at in range(1, 6))
WEB_S, VALKEY_S = 0.4, 1.0
"""of answered fetches a kill may take along: the web process's buffer (flushed every 200 ms, and the flush takes its time), and what
Valkey's log had not on disk"""


@dataclass
class Roles:
    """Single roles, as on several machines; who was killed is started again as a supervisor does."""

    environment: dict[str, str]
    port: int
    log: Path
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        arguments = {"web": ("web", "--port", str(self.port), "--tracking-only")}.get(name, (name,))
        with self.log.open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "mailer.cli", *arguments],
                env=self.environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=dies_with_parent(signal.SIGTERM),
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """-9 to the role and to whatever it started."""
        process = self.running[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.start(name)

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(30)


@dataclass
class Reading:
    """Fetches that were answered, with the moment, while everything is killed around them."""

    port: int
    paths: list[str]
    answered: list[float] = field(default_factory=list)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        chance = random.Random(threading.get_ident())
        while not self.stopping.is_set():
            with self._lock:
                path, self._next = self.paths[self._next % len(self.paths)], self._next + 1
            if self._fetch(path, chance.choice(AGENTS)):
                self.answered.append(time.monotonic())
            self.stopping.wait(PAUSE_S)

    def _fetch(self, path: str, agent: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"User-Agent": agent})
            return connection.getresponse().status in (200, 302)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, MortalPostgres | None]]:
    if request.param == "postgresql":
        with mortal() as server:
            yield server.url, server
        return
    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "kairan.sqlite")
    yield f"sqlite:///{tmp_path / 'kairan.sqlite'}", None


@contextmanager
def _roles(folder: Path, url: str) -> Iterator[Roles]:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KAIRAN_")},
        "KAIRAN_DATA_DIR": str(folder),
        "KAIRAN_DATABASE_URL": url,
        "KAIRAN_SECRET_KEY": make.SECRET,
        "KAIRAN_BASE_URL": f"http://127.0.0.1:{port}",
    }
    roles = Roles(environment, port, folder / "log")
    for name in ("valkey", "web", "scheduler"):
        roles.start(name)
    try:
        yield roles
    finally:
        roles.stop()


@pytest.mark.slow
def test_counters_are_what_events_add_up_to_after_twenty_kills(database: tuple[str, MortalPostgres | None], tmp_path: Path) -> None:
    url, server = database
    chance = random.Random(20)
    with make.running(make.make_settings(url, tmp_path)) as ground:
        campaign_id, paths = _sent(ground)
        with _roles(tmp_path, url) as roles:
            reading = Reading(roles.port, paths)
            threads = [threading.Thread(target=reading.read, daemon=True) for _ in range(READERS)]
            wait_for("the web role answers", lambda: reading._fetch("/healthz", AGENTS[0]))
            for thread in threads:
                thread.start()
            kills = _kill_twenty(roles, server, reading, chance)
            reading.stopping.set()
            for thread in threads:
                thread.join()
            wait_for("all is drained", _drained(tmp_path), 60)
        with ground.reading() as session:
            events = recount.assert_equal(session, campaign_id)
            rows = session.execute(
                select(Event.number, Event.kind, Event.link, Event.machine).where(Event.campaign_id == campaign_id)
            ).all()
            dropped = int(session.execute(select(func.coalesce(func.sum(IngestCount.count), 0))).scalar_one())
    lost = len(reading.answered) - events - dropped
    assert sum(kills.values()) == 20
    assert len(reading.answered) > 5_000 and len(rows) == events
    assert max(Counter((row.number, row.kind, row.link) for row in rows).values()) <= 1 + len(reading.answered) // len(paths)
    # A fetch whose answer was cut off by a kill may be there though nobody was answered: fewer are missing than were lost, never more.
    assert lost <= _may_be_lost(reading.answered, kills), (lost, dropped, kills)


def _sent(ground: Runtime) -> tuple[int, list[str]]:
    """A campaign that everybody received an hour ago, and each member's beacon and links, one kind after the other."""
    now = clock.now()
    with ground.writing() as session:
        make.make_organisation(session)
        topic = make.make_list(session)
        make.make_members(session, MEMBERS, topic)
        campaign_id = make.make_campaign(session, topic, html=f"<html><body>{LINKS}</body></html>").id
    make.start_sending(ground, campaign_id, now)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, ended_at=now - timedelta(hours=1), due_at=None))
        links = list(session.scalars(select(Link.number).where(Link.campaign_id == campaign_id).order_by(Link.number)))
    tokens = [ground.secrets.tokens.trace(campaign_id, number) for number in range(1, MEMBERS + 1)]
    return campaign_id, [f"/o/{token}.gif" for token in tokens] + [f"/c/{token}/{link}" for link in links for token in tokens]


def _kill_twenty(roles: Roles, server: MortalPostgres | None, reading: Reading, chance: random.Random) -> Counter[str]:
    """Each after some hundred more fetches were answered, so that kills fall into reading on a fast machine and on a slow one."""
    stores = ["scheduler"] * 4 if server is None else ["database"] * 4
    order = ["web"] * 5 + ["scheduler"] * 6 + ["valkey"] * 5 + stores
    chance.shuffle(order)
    for name in order:
        _read_on(reading, chance.randrange(200, 500))
        if name == "database" and server is not None:
            server.stop_immediately()
            server.start()
        else:
            roles.kill(name)
        # A web process that dies while Valkey is away takes more along than one that dies alone; two faults at once promise less.
        wait_for("Valkey is back", _valkey_answers(roles), 30, every=0.01)
    _read_on(reading, 500)
    return Counter(order)


def _read_on(reading: Reading, more: int) -> None:
    until = len(reading.answered) + more
    wait_for("people read on", lambda: len(reading.answered) >= until, 90, every=0.005)


def _valkey_answers(roles: Roles) -> Callable[[], bool]:
    return lambda: _waiting(Path(roles.environment["KAIRAN_DATA_DIR"])) >= 0


def _waiting(folder: Path) -> int:
    """Entries in the stream; -1: Valkey does not answer."""
    try:
        with Redis(unix_socket_path=(folder / "valkey.socket").read_text("utf-8").strip()) as client:
            return int(client.xlen(STREAM))  # type: ignore[arg-type]
    except (OSError, RedisError):
        return -1


def _drained(folder: Path) -> Callable[[], bool]:
    """Nothing is in the stream for 20 looks in a row: a web process flushes within 200 ms."""
    seen: list[int] = []

    def look() -> bool:
        seen.append(_waiting(folder))
        return len(seen) > 20 and not any(seen[-20:])

    return look


def _may_be_lost(answered: list[float], kills: Counter[str]) -> int:
    """By the busiest moments of the run."""
    return kills["web"] * _busiest(answered, WEB_S) + kills["valkey"] * _busiest(answered, VALKEY_S)


def _busiest(answered: list[float], seconds: float) -> int:
    most, first = 0, 0
    for last, moment in enumerate(answered):
        while moment - answered[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most

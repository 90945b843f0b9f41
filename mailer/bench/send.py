"""`kairan bench send`: the whole path (database → gate → splice → SMTP → journal → record) beside its control in the same run."""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import delete, func, select

from kairan import clock, database, installation, runtime, settings
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.models.deliveries import Lane as LaneRow
from mailer.bench import control, sample, sink
from mailer.bench.ground import environment, redis, runtime_for, settings_for
from mailer.campaigns import compilation, lifecycle
from mailer.delivery import snapshot
from mailer.ops.supervision import die_with_parent

SIZE = 20_000
CONTROL_MAX = 100_000
"""mails of the control, which keeps no state: more of them would only take longer"""
LANE_MAX_S = 3_600.0


def measure(url: str | None, *, count: int, lanes: int, rounds: int = 3, profile: bool = False) -> Iterator[tuple[str, object]]:
    """Pairs to print, the ratio last. Works in a temporary folder; a database given by URL must be empty or a benchmark's own.

    `profile`: also where the CPU of a mail goes, in microseconds a mail (`us_gate`, `us_smtp`, …); watching costs 3 us a mail.
    """
    with tempfile.TemporaryDirectory(prefix="kairan-bench-") as name:
        folder = Path(name)
        given = settings_for(folder, url)
        database.migrate(given.database_url)
        with redis(given), sink.running(folder) as target:
            given = replace(given, smtp_url=f"smtp://127.0.0.1:{target.port}?connections={control.SESSIONS}")
            yield from _rounds(given, target, count, lanes, rounds, profile)


@dataclass(frozen=True)
class _Run:
    """One campaign of the benchmark, sent."""

    rate: float
    """messages a second from the first accepted to the last"""
    size: float
    """bytes a message on the wire"""
    lanes: list[dict[str, float]]
    """what each lane process told of itself at its end"""

    @property
    def rss(self) -> float:
        return max(lane["rss_mb"] for lane in self.lanes)

    def profile(self, count: int) -> Iterator[tuple[str, object]]:
        for name in sorted({name for lane in self.lanes for name in lane} - {"rss_mb"}):
            yield f"us_{name}", f"{sum(lane.get(name, 0.0) for lane in self.lanes) / count * 1e6:.1f}"


def _rounds(
    given: settings.Settings, target: sink.Sink, count: int, lanes: int, rounds: int, profile: bool
) -> Iterator[tuple[str, object]]:
    ground = runtime_for(given)
    with ground.writing() as session:
        list_id = sample.audience(session, ground.secrets, count, clock.now())
    yield "machine", f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    yield "database", "sqlite" if given.is_sqlite else "postgresql"
    yield "sink", target.name
    yield "recipients", count
    yield "lanes", lanes
    control.measure(target, min(count, 5_000), SIZE)  # warms up the sink
    pairs: list[tuple[float, float, _Run]] = []
    for _ in range(rounds):
        name, floor = control.measure(target, min(count, CONTROL_MAX), SIZE)
        run = _send(ground, given, target, list_id, count, lanes, profile)
        pairs.append((run.rate / floor, floor, run))
    ratio, floor, run = sorted(pairs, key=lambda pair: pair[0])[len(pairs) // 2]
    yield "control", name
    yield "message_bytes", round(run.size)
    yield "messages_per_s", round(run.rate)
    yield "control_messages_per_s", round(floor)
    yield "rss_mb", round(max(pair[2].rss for pair in pairs))
    yield from run.profile(count)
    yield "ratios", " ".join(f"{pair[0]:.2f}" for pair in pairs)
    yield "ratio", f"{ratio:.2f}"


def _send(
    ground: runtime.Runtime, given: settings.Settings, target: sink.Sink, list_id: int, count: int, lanes: int, profile: bool
) -> _Run:
    campaign_id = prepare(ground, list_id)
    before, bytes_before = target.accepted(), target.bytes()
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "mailer.bench.send", str(campaign_id), *(["profile"] if profile else [])],
            env={**os.environ, **environment(given)},
            preexec_fn=die_with_parent,
            stdout=subprocess.PIPE,
        )
        for _ in range(lanes)
    ]
    first = last = 0.0
    skipped = 0
    while (done := target.accepted() - before) < count and any(worker.poll() is None for worker in workers):
        if done and not first:
            first, skipped = time.perf_counter(), done
        time.sleep(0.002)
    last = time.perf_counter()
    told = [json.loads(worker.communicate()[0] or b"{}") for worker in workers]
    _verify(ground, campaign_id, count)
    return _Run((count - skipped) / (last - first), (target.bytes() - bytes_before) / count, told)


def prepare(ground: runtime.Runtime, list_id: int) -> int:
    now = clock.now()
    with ground.writing() as session:
        installation.put(session, "organisation", {"name": "Bench", "address": "1 Loop", "contact": "a@bench.example"}, now=now)
        campaign_id = sample.campaign(session, list_id, SIZE, now)
        lifecycle.schedule(session, campaign_id, now, now=now)
        lifecycle.start(session, campaign_id, now=now)
        compilation.compile_campaign(session, session.get_one(Campaign, campaign_id), ground.settings.base_url)
    with ground.writing() as session:
        snapshot.look_again(session)
    more = True
    while more:
        with ground.writing() as session:
            more = snapshot.take_piece(session, campaign_id, clock.now())
    with ground.writing() as session:
        snapshot.settle(session, campaign_id, clock.now())
    return campaign_id


def _verify(ground: runtime.Runtime, campaign_id: int, count: int) -> None:
    """A run that lost or doubled anything is no measurement."""
    with ground.reading() as session:
        accepted = session.execute(
            select(func.count()).where(Delivery.campaign_id == campaign_id, Delivery.state == State.ACCEPTED)
        ).scalar_one()
    if accepted != count:
        raise RuntimeError(f"{accepted} of {count} deliveries are accepted: not a measurement")
    with ground.writing() as session:  # so that the next round does not meet a campaign of today
        for table in (Chunk, LaneRow):
            session.execute(delete(table).where(table.campaign_id == campaign_id))


def _lane(campaign_id: int, profile: bool) -> None:
    """One lane process of the benchmark, as a worker's horse runs it."""
    from mailer.bench.profile import Profile
    from mailer.delivery import jobs

    watch = Profile() if profile else None
    jobs.run_lane(campaign_id, seconds=LANE_MAX_S)
    told = watch.told() if watch else {}
    print(json.dumps({"rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **told}))


if __name__ == "__main__":
    _lane(int(sys.argv[1]), "profile" in sys.argv[2:])

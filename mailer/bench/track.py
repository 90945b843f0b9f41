"""`kairan bench track`: the tracking endpoint and an empty application under the same server, fetched in turn in the same run.

Half beacons and half clicks, behind one trusted proxy as in production (the member's address stands in X-Forwarded-For), the buffer going
out to a Redis every 200 ms. What counts is the server's CPU a request: requests a second on two cores are bounded by who asks.
"""

import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kairan import clock
from mailer.bench import fetcher, sample
from mailer.bench.ground import environment, running
from mailer.ops.serving import TRACKING_THREADS, granian
from mailer.ops.supervision import die_with_parent

CONNECTIONS = 64
DELIVERIES = 5_000
SECONDS = 5
NETWORKS = 1_000
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Run:
    rate: float
    p99_ms: float
    cpu_us: float
    rss_mb: float
    errors: int


def measure(url: str | None, *, rounds: int = 3) -> Iterator[tuple[str, object]]:
    """Pairs to print, the ratio last: CPU a request of the empty application over ours, in the round in the middle."""
    with tempfile.TemporaryDirectory(prefix="kairan-bench-") as name, running(Path(name), url) as ground:
        folder = Path(name)
        with ground.writing() as session:
            campaign_id, links = sample.linked(session, clock.now())
        fetcher.write(folder, _fetches(ground.secrets.tokens.trace, campaign_id, links))
        yield "machine", f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        yield "database", "sqlite" if ground.settings.is_sqlite else "postgresql"
        yield "load", f"{fetcher.name()}, {CONNECTIONS} connections, {SECONDS} s, half beacons half clicks"
        yield "control", "an empty WSGI application under the same granian, one process"
        ours = {**os.environ, **environment(ground.settings), "KAIRAN_PROXY_HOPS": "1"}
        with (
            _serving(ours, "-m", "mailer.cli", "web", "--tracking-only") as subject,
            _serving(dict(os.environ), "-m", "mailer.bench.track") as control,
        ):
            pairs = [(_fetched(folder, control), _fetched(folder, subject)) for _ in range(rounds)]
        yield from _told(pairs)


def _told(pairs: Sequence[tuple[_Run, _Run]]) -> Iterator[tuple[str, object]]:
    control, subject = sorted(pairs, key=lambda pair: pair[0].cpu_us / pair[1].cpu_us)[len(pairs) // 2]
    yield "errors", sum(run.errors for pair in pairs for run in pair)
    for prefix, run in (("", subject), ("control_", control)):
        yield f"{prefix}requests_per_s", round(run.rate)
        yield f"{prefix}p99_ms", f"{run.p99_ms:.1f}"
        yield f"{prefix}rss_mb", round(run.rss_mb)
        yield f"{prefix}cpu_us_per_request", f"{run.cpu_us:.1f}"
    yield "requests_ratio", f"{subject.rate / control.rate:.2f}"
    yield "ratios", " ".join(f"{theirs.cpu_us / ours.cpu_us:.2f}" for theirs, ours in pairs)
    yield "ratio", f"{control.cpu_us / subject.cpu_us:.2f}"


def _fetches(trace: Any, campaign_id: int, links: Sequence[int]) -> Iterable[tuple[str, str]]:
    """(path, the member's address), each delivery's beacon and one of its links in turn."""
    for number in range(1, DELIVERIES + 1):
        token, network = trace(campaign_id, number), number % NETWORKS
        address = f"198.{18 + network // 256}.{network % 256}.{number % 250 + 1}"
        yield f"/o/{token}.gif", address
        yield f"/c/{token}/{links[number % len(links)]}", address


# ---- a server and what it used


@contextmanager
def _serving(environ: dict[str, str], *command: str) -> Iterator[tuple[int, int]]:
    """(process, port) of a server that answers; stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, *command, "--port", str(port)], env=environ, preexec_fn=die_with_parent)
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise RuntimeError("the server did not start: not a measurement")
            time.sleep(0.05)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _fetched(folder: Path, serving: tuple[int, int]) -> _Run:
    process, port = serving
    fetcher.fetch(folder, port, CONNECTIONS, 1)  # warm: links are in memory, threads are there
    tree = _tree(process)
    before = sum(map(_cpu_s, tree))
    told = fetcher.fetch(folder, port, CONNECTIONS, SECONDS)
    spent = sum(map(_cpu_s, tree)) - before
    return _Run(told.rate, told.p99_ms, spent / told.requests * 1e6, sum(map(_rss_mb, tree[-1:])), told.errors)


def _tree(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(below for child in children for below in _tree(int(child)))]


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _rss_mb(process: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


# ---- the control


def empty(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The least that a WSGI application can do."""
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


if __name__ == "__main__":
    granian("mailer.bench.track:empty", "127.0.0.1", int(sys.argv[-1]), factory=False, threads=TRACKING_THREADS).serve()

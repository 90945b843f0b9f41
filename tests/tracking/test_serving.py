"""The real server: what was fetched is in Redis after it was told to stop, and within 200 ms anyway."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from kairan.secrets import from_root
from tests.support.ground import SECRET
from tests.support.processes import dies_with_parent
from tracking import packing
from tracking.buffer import FIELD, FLUSH_S, STREAM


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    import shutil

    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "kairan.sqlite")
    return f"sqlite:///{tmp_path / 'kairan.sqlite'}"


@contextmanager
def serving(*more: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """(`kairan web`, its port), as soon as it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mailer.cli", "web", "--port", str(port), *more]
    process = subprocess.Popen(
        command, env={**os.environ, "KAIRAN_SECRET_KEY": SECRET, **environment}, preexec_fn=dies_with_parent(signal.SIGTERM)
    )
    try:
        wait_for(lambda: _answers(port))
        yield process, port
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(database_url: str, valkey: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with serving(KAIRAN_DATA_DIR=str(tmp_path), KAIRAN_DATABASE_URL=database_url, KAIRAN_REDIS_URL=valkey) as running:
        yield running


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answer(port: int, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse()
    finally:
        connection.close()


def _status(port: int, path: str) -> int:
    return _answer(port, path).status


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def fetched(valkey: str) -> int:
    with Redis.from_url(valkey) as redis:
        return sum(len(packing.unpack(fields[FIELD]).fetches) for _id, fields in redis.xrange(STREAM))


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_server_that_ends_flushes_first(server: tuple[subprocess.Popen[bytes], int], valkey: str, how: signal.Signals) -> None:
    """Killed with -9, granian takes its worker process along by SIGTERM, so that one flushes too."""
    process, port = server
    token = from_root(SECRET).tokens.trace(1, 1)

    answers = [_status(port, f"/o/{token}.gif") for _ in range(20)]
    process.send_signal(how)
    process.wait()

    assert answers == [200] * 20
    wait_for(lambda: fetched(valkey) == 20)


def test_a_worker_process_killed_loses_only_what_no_flush_has_reached(server: tuple[subprocess.Popen[bytes], int], valkey: str) -> None:
    """It is the process that serves which is killed here, at -9: what it took more than a flush ago is in Redis."""
    process, port = server
    token = from_root(SECRET).tokens.trace(1, 1)
    for _ in range(20):
        _status(port, f"/o/{token}.gif")
    wait_for(lambda: fetched(valkey) == 20)
    answers = [_status(port, f"/o/{token}.gif") for _ in range(10)]

    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)

    assert answers == [200] * 10
    assert FLUSH_S == 0.2
    assert 20 <= fetched(valkey) <= 30
    wait_for(lambda: _is_served(port, f"/o/{token}.gif"))
    wait_for(lambda: fetched(valkey) >= 21)


def _is_served(port: int, path: str) -> bool:
    try:
        return _status(port, path) == 200
    except (OSError, http.client.HTTPException):
        return False


def test_the_tracking_role_starts_without_database_and_redis_from_the_copy_of_the_links(tmp_path: Path) -> None:
    token = from_root(SECRET).tokens.trace(1, 1)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "1.json").write_text('{"links": {"1": "https://shop.example/autumn"}, "utm": {"source": "news"}}')
    nowhere = {"KAIRAN_DATABASE_URL": "postgresql+psycopg://u@127.0.0.1:1/nowhere", "KAIRAN_REDIS_URL": "redis://127.0.0.1:1/0"}

    with serving("--tracking-only", KAIRAN_DATA_DIR=str(tmp_path), **nowhere) as (_process, port):
        beacon, known, unknown = (_answer(port, path) for path in (f"/o/{token}.gif", f"/c/{token}/1", f"/c/{token}/2"))
        page = _answer(port, "/about/tracking")

    assert (beacon.status, known.status, known.headers["Location"]) == (200, 302, "https://shop.example/autumn?utm_source=news")
    assert (unknown.status, unknown.headers["Retry-After"]) == (503, "5")
    assert (page.status, page.headers["Retry-After"]) == (503, "5")


def test_the_tracking_role_shows_the_members_pages_too(database_url: str, valkey: str, tmp_path: Path) -> None:
    environment = {"KAIRAN_DATA_DIR": str(tmp_path), "KAIRAN_DATABASE_URL": database_url, "KAIRAN_REDIS_URL": valkey}

    with serving("--tracking-only", **environment) as (_process, port):
        assert (_status(port, "/about/tracking"), _status(port, "/healthz"), _status(port, "/campaigns")) == (200, 200, 404)

"""The real server: what was fetched is in Redis after it was told to stop, and within 200 ms anyway."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from kairan.secrets import from_root
from tests.support.ground import SECRET
from tests.support.processes import dies_with_parent
from tracking import packing
from tracking.buffer import FIELD, STREAM


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    import shutil

    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "kairan.sqlite")
    return f"sqlite:///{tmp_path / 'kairan.sqlite'}"


@pytest.fixture
def server(database_url: str, valkey: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "KAIRAN_DATA_DIR": str(tmp_path), "KAIRAN_DATABASE_URL": database_url, "KAIRAN_REDIS_URL": valkey,
        "KAIRAN_SECRET_KEY": SECRET,
    }  # fmt: skip
    command = [sys.executable, "-m", "mailer.cli", "web", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, preexec_fn=dies_with_parent(signal.SIGTERM))
    try:
        wait_for(lambda: _answers(port))
        yield process, port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def fetched(valkey: str) -> int:
    with Redis.from_url(valkey) as redis:
        return sum(len(packing.unpack(fields[FIELD]).fetches) for _id, fields in redis.xrange(STREAM))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_flushes_first(server: tuple[subprocess.Popen[bytes], int], valkey: str, how: signal.Signals) -> None:
    """Killed with -9, granian takes its worker process along by SIGTERM, so that one flushes too."""
    process, port = server
    token = from_root(SECRET).tokens.trace(1, 1)

    answers = [_status(port, f"/o/{token}.gif") for _ in range(20)]
    process.send_signal(how)
    process.wait()

    assert answers == [200] * 20
    wait_for(lambda: fetched(valkey) == 20)

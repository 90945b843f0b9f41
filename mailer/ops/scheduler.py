"""The scheduler: what time brings and no request does. One works at a time over all machines; it drains events and sweeps.

Its lock is a session-level advisory lock on PostgreSQL and a file lock beside the SQLite file, so it ends with whoever held it.
"""

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from kairan import clock
from kairan.runtime import Runtime

_LOCK = 0x6B736368  # "ksch"
DRAIN_S = 0.2
TICK_S = 1.0
HOUSEKEEPING_S = 60.0
RETENTION_S = 6 * 3_600.0

log = logging.getLogger(__name__)


class Scheduler:
    """Runs until SIGTERM."""

    def __init__(self, ground: Runtime) -> None:
        self.ground = ground
        self.stopping = False
        self._told: dict[str, float] = {}
        self._lock: Connection | None = None

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self.stopping:
            try:
                with self._alone() as mine:
                    if mine:
                        self._work()
            except Exception as error:  # the database went away: the lock is gone with it, so begin again
                log.warning("scheduler begins again", extra={"error": f"{type(error).__name__}: {str(error)[:200]}"})
            self._rest(2.0)

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(0.05)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if self.ground.database.is_sqlite:
            handle = os.open(self.ground.settings.data_dir / "scheduler.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
            except BlockingIOError:
                yield False
            finally:
                os.close(handle)
            return
        with self.ground.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # the lock is this connection's: it ends with it, and must not go back into the pool with it
            self._lock = connection
            yield bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one())

    def _work(self) -> None:
        tasks: list[list[object]] = [[0.0, every, task] for every, task in self._tasks()]
        look_at = 0.0
        while not self.stopping:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + TICK_S
                self._still_alone()
            for entry in tasks:
                due, every, task = entry
                if now >= due:  # type: ignore[operator]
                    entry[0] = now + every  # type: ignore[operator]
                    self._do(task)  # type: ignore[arg-type]
            time.sleep(0.05)

    def _still_alone(self) -> None:
        """Raises where the database has ended the connection that holds the lock: then another scheduler may work by now."""
        if self._lock is not None:
            self._lock.execute(text("SELECT 1"))

    def _tasks(self) -> list[tuple[float, Callable[[], None]]]:
        from mailer.campaigns import alert_causes
        from mailer.campaigns import jobs as campaigns
        from mailer.ops.sweep import EVERY_S, Sweep
        from mailer.webhooks import jobs as webhooks

        return [
            (DRAIN_S, self._drain),
            (TICK_S, lambda: campaigns.tick(self.ground)),
            (TICK_S, self._drain_visits),
            (TICK_S, lambda: webhooks.ring_waiting(self.ground)),
            (EVERY_S, Sweep(self.ground)),
            (EVERY_S, lambda: alert_causes.look(self.ground)),
            (HOUSEKEEPING_S, self._housekeeping),
            (RETENTION_S, self._expire),
        ]

    def _do(self, task: Callable[[], None]) -> None:
        """One task's trouble is not the others'; the same trouble is told once a minute, not five times a second."""
        try:
            task()
        except Exception as error:
            trouble = f"{type(error).__name__}: {str(error)[:300]}"
            if time.monotonic() - self._told.get(trouble, -60.0) >= 60.0:
                self._told[trouble] = time.monotonic()
                log.warning("task failed", extra={"error": trouble})

    def _drain(self) -> None:
        from tracking import ingest, networks

        known = networks.current(self.ground.settings.network_files)
        while ingest.drain(self.ground.database, self.ground.redis, clock.now(), known) and not self.stopping:
            pass

    def _report_mails(self) -> None:
        from mailer.delivery import system_mail
        from mailer.reports import report_mail

        with self.ground.writing() as session:
            count = report_mail.put_due(session, self.ground.settings.base_url, clock.now())
        if count:
            system_mail.ring(self.ground)

    def _expire(self) -> None:
        from tracking import retention

        retention.expire(self.ground.database, clock.now())

    def _drain_visits(self) -> None:
        from tracking import visits

        while visits.drain(self.ground.database, self.ground.redis, clock.now()) and not self.stopping:
            pass

    def _housekeeping(self) -> None:
        from mailer.campaigns import jobs as campaigns
        from mailer.delivery import dns_jobs
        from mailer.reports import export_files
        from mailer.reports import jobs as reports
        from mailer.webhooks import jobs as webhooks
        from unsubscribe import moving

        with self.ground.writing() as session:
            moving.forget_unconfirmed(session, clock.now())
        campaigns.housekeeping(self.ground)
        dns_jobs.ring_due(self.ground)
        export_files.expire(self.ground, clock.now())
        reports.ring_audience(self.ground)
        self._report_mails()
        webhooks.tidy(self.ground)

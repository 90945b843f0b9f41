"""What one host sees of itself and tells a person: a disk that fills, Redis that is away. One looks out for each process of sweeps."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from kairan import clock
from kairan.runtime import Runtime
from mailer.campaigns import alert_causes, alert_posts, alerts
from mailer.delivery import journal, system_mail

ROOM_LOW = 1 << 30
"""bytes free; below 64 MiB campaigns stop (mailer.delivery.surroundings)"""
ROOM_AGAIN = ROOM_LOW + (256 << 20)
AWAY_S = 60.0
QUIET = timedelta(seconds=90)
"""after which nobody else sees Redis away either"""
REDIS = "redis"

log = logging.getLogger(__name__)


class Lookout:
    """Never raises: a sweep has more to do."""

    def __init__(
        self, ground: Runtime, *, free: Callable[[Path], int] | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.ground = ground
        self._host = journal.host_name()
        self._free = free or (lambda folder: shutil.disk_usage(folder).free)
        self._monotonic = monotonic
        self._away_since: float | None = None
        self._by_hand: threading.Thread | None = None

    def __call__(self) -> None:
        for task in (self._mind_redis, self._mind_disk):
            try:
                task()
            except Exception as error:
                log.warning("not looked at", extra={"what": task.__name__, "error": type(error).__name__})

    # ---- the disk ----

    def _mind_disk(self) -> None:
        given = self.ground.settings
        free = min((self._free(folder) for folder in (given.data_dir, given.journal_dir) if folder.exists()), default=ROOM_AGAIN)
        key = f"disk/{self._host}"
        if free < ROOM_LOW:
            self._begin(key, "disk.full", {"host": self._host, "free_mib": free >> 20})
        elif free >= ROOM_AGAIN:
            self._end(key)

    # ---- Redis ----

    def _mind_redis(self) -> None:
        if self._answers():
            self._away_since = None
            self._end(REDIS, unseen_for=QUIET)
            return
        now = self._monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= AWAY_S:
            self._begin(REDIS, "redis.away", {"host": self._host})
            self._send_by_hand()

    def _answers(self) -> bool:
        try:
            return bool(self.ground.redis.ping())
        except Exception:  # RedisError, OSError, SettingError: the embedded one has not started
            return False

    def _send_by_hand(self) -> None:
        """With Redis away no bell rings, and the mail that says so would wait for it: this process sends what is due itself."""
        if self._by_hand is None or not self._by_hand.is_alive():
            self._by_hand = threading.Thread(target=_send_all, name="alerts", daemon=True)
            self._by_hand.start()

    # ---- telling ----

    def _begin(self, key: str, kind: str, facts: dict[str, Any]) -> None:
        now = clock.now()
        with self.ground.writing() as session:
            told = alerts.begin(session, key, kind, facts, self.ground.settings.base_url, now)
        if told:
            log.error("a person is told", extra={"alert": kind})
            alert_causes.ring(self.ground)

    def _end(self, key: str, unseen_for: timedelta | None = None) -> None:
        with self.ground.reading() as session:
            seen_at = alerts.standing(session, key).get(key)
        now = clock.now()
        if seen_at is None or (unseen_for is not None and seen_at > now - unseen_for):
            return
        with self.ground.writing() as session:
            since = now - unseen_for if unseen_for else None
            told = alerts.end(session, key, self.ground.settings.base_url, now, unseen_since=since)
        if told:
            alert_causes.ring(self.ground)


def _send_all() -> None:
    for send in (system_mail.send_due, alert_posts.send_due):
        try:
            send()
        except Exception as error:
            log.warning("alerts not sent", extra={"error": type(error).__name__})

"""What the parts of a lane share: whose it is, its one thread to the database, and whether it still goes on."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from kairan.database import Database

AT_ONCE = ("dead", "journal", "provider", "brake")
"""reasons after which even what is gated already is not begun"""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Stint:
    """One run of a lane."""

    lane_id: int
    campaign_id: int
    revision: int
    provider_id: int
    has_ceiling: bool
    """the provider may start only so many mails a day: each gate asks; else the mails are only counted"""
    database: Database
    now: Callable[[], datetime]

    stopping: str | None = None
    """why no more is gated: `time`, `empty`, `campaign`, `busy`, `ceiling`, `signal`, `provider`, `database`, `journal`, `brake`, `dead`"""
    brake: str | None = None
    """a key of mailer.campaigns.lifecycle.PAUSE_REASONS: the campaign pauses with the next record"""
    on_stop: list[Callable[[str], None]] = field(default_factory=list)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "database"))

    def stop(self, why: str) -> None:
        """Gates no more; what is in hand is finished and recorded."""
        self.stopping = self.stopping or why
        for listener in self.on_stop:
            listener(why)

    async def write(self, function: Callable[[Session], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_transaction, function)

    def _in_transaction(self, function: Callable[[Session], T]) -> T:
        """One write transaction, in the database thread."""
        with self.database.writing() as session:
            return function(session)

    async def try_to_write(self, function: Callable[[Session], T]) -> T | None:
        """The same; None where the database is away, and then the lane stops."""
        try:
            return await self.write(function)
        except SQLAlchemyError as error:
            log.warning("lane lost the database", extra={"lane": self.lane_id, "error": type(error).__name__})
            self.stop("database")
            return None

    def close(self) -> None:
        self._thread.shutdown()

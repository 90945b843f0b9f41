"""The recording part of a lane: results are written in bulk every 200 ms, journal records and chunks are let go after the commit."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.delivery import brakes, ceilings, outcomes
from mailer.delivery.gate import Gated
from mailer.delivery.journal import Journal
from mailer.delivery.outcomes import Outcome
from mailer.delivery.record import Result, record
from mailer.delivery.stint import Stint

RECORD_EVERY_S = 0.2
RECORD_MAX = 2_000
GIVE_UP_RECORDING_S = 60.0

log = logging.getLogger(__name__)


class Recorder:
    """Collects what attempts came to, and writes it until the lane is drained."""

    def __init__(self, stint: Stint, journal: Journal, done: Callable[[list[Result]], Awaitable[None]]) -> None:
        """`done` is told what is recorded."""
        self._stint = stint
        self._journal = journal
        self._done = done
        self._results: list[Result] = []
        self._wake = asyncio.Event()
        self._drained = False
        self.recent = brakes.Recent()
        self.accepted = 0
        self._uncounted = 0
        """mails begun that today's count of the provider does not have yet"""

    def add(self, gated: Gated, outcome: Outcome) -> None:
        self.put(Result(gated.number, gated.member_id, gated.fence, gated.tries, outcome))
        if outcome is outcomes.ACCEPTED_250:
            self.accepted += 1
        why = self.recent.add(outcome)
        if why is not None:
            self._stint.brake = why
            self._stint.stop("brake")

    def put(self, result: Result) -> None:
        self._results.append(result)
        if len(self._results) >= RECORD_MAX:
            self._wake.set()

    def begun(self) -> None:
        self._uncounted += 1

    def drain(self) -> None:
        """Nothing will be added any more: run() ends when all is written."""
        self._drained = True
        self._wake.set()

    async def run(self) -> None:
        failing_since: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), RECORD_EVERY_S if failing_since is None else 1.0)
            self._wake.clear()
            drained = self._drained
            batch, self._results = self._results, []
            if batch and not await self._write(batch):
                self._results = batch + self._results
                failing_since = failing_since or loop.time()
                if drained and loop.time() - failing_since > GIVE_UP_RECORDING_S:
                    return  # the journal keeps what was answered; recovery reads it when the database is back
                continue
            failing_since = None
            if drained and not self._results:
                return

    async def _write(self, batch: list[Result]) -> bool:
        counted, self._uncounted = self._uncounted, 0
        try:
            await self._stint.write(lambda session: self._record(session, batch, counted))
        except SQLAlchemyError as error:
            self._uncounted += counted
            lane_id, kind = self._stint.lane_id, type(error).__name__
            log.warning("results wait for the database", extra={"lane": lane_id, "count": len(batch), "error": kind})
            self._stint.stop("database")
            return False
        for result in batch:
            self._journal.recorded(result.number, result.fence)
        await self._done(batch)
        return True

    def _record(self, session: Session, batch: list[Result], counted: int) -> None:
        stint, now = self._stint, self._stint.now()
        record(session, stint.campaign_id, stint.lane_id, batch, now, stint.provider_id)
        if stint.brake is not None:
            brakes.pause(session, stint.campaign_id, stint.brake, self.recent.detail, now)
        if counted and not stint.has_ceiling:  # last in the transaction, since all lanes of the provider count in one row
            ceilings.reserve_today(session, stint.provider_id, counted, now)

"""A lane: one process that takes chunks of a campaign and sends them until they are gone or its minute is over.

    claim a chunk → connection open and idle → gate → splice → MAIL RCPT DATA → journal D → message and dot → journal R → record in bulk

The event loop talks SMTP; one thread beside it talks to the database (gate and record), so that no session is open while SMTP is
waited for. Whatever dies here, recovery knows from the journal how far each delivery came (DESIGN.md "Delivery semantics").
"""

import asyncio
import contextlib
import logging
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from kairan import addresses, clock
from kairan.database import Database
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.settings import SmtpAccount
from mailer.delivery import brakes, chunks, outcomes
from mailer.delivery.gate import Candidate, Gated, LaneDead, gate, heartbeat
from mailer.delivery.journal import Journal, JournalError
from mailer.delivery.outcomes import Outcome
from mailer.delivery.programs import ProgramSet, date_header
from mailer.delivery.record import Result, record
from mailer.delivery.smtp import Connection, ConnectionLost, ProviderTrouble, RefusedReply, TooLate
from mailer.delivery.throttle import Share

GATE_TO_MAIL_S = 0.8
RECORD_EVERY_S = 0.2
RECORD_MAX = 2_000
HEARTBEAT_S = 15.0
GATE_AHEAD_S = 0.1
GATE_MAX = 500
LANE_S = 60.0
GIVE_UP_RECORDING_S = 60.0
_AT_ONCE = ("dead", "journal", "provider", "brake")
"""reasons after which even what is gated already is not begun"""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class _OpenChunk:
    """A chunk this lane holds: let go when nothing of it is in hand."""

    number: int
    in_hand: int


@dataclass
class Lane:
    """The state of one lane while it runs."""

    lane_id: int
    campaign_id: int
    provider_id: int
    account: SmtpAccount
    programs: ProgramSet
    database: Database
    journal: Journal
    share: Share
    seconds: float = LANE_S
    now: Callable[[], datetime] = clock.now

    stopping: str | None = None
    """why no more is gated: `time`, `empty`, `campaign`, `signal`, `provider`, `database`, `journal`, `dead`"""
    accepted: int = 0
    attempted: int = 0
    recent: brakes.Recent = field(default_factory=brakes.Recent)
    _todo: deque[Candidate] = field(default_factory=deque)
    _ready: deque[Gated] = field(default_factory=deque)
    _results: list[Result] = field(default_factory=list)
    _open: dict[int, _OpenChunk] = field(default_factory=dict)
    _connections: set[Connection] = field(default_factory=set)
    _workers: set[asyncio.Task[None]] = field(default_factory=set)
    _leaving: set[asyncio.Task[None]] = field(default_factory=set)
    _gate_max: int = GATE_MAX
    _low: int = 0
    """rows ready at which the next gate begins"""
    _brake: str | None = None
    _drained: bool = False

    # ---- the loop ----

    async def run(self) -> str:
        """Sends until there is nothing due, the time is over or something stops it. Returns why it stopped."""
        loop = asyncio.get_running_loop()
        before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
        for name in before:
            loop.add_signal_handler(name, partial(self.stop, "signal"))
        self._wake_feeder, self._wake_workers, self._wake_recorder = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "database")
        self._began = loop.time()
        self._date = date_header(self.now())
        keeper = asyncio.create_task(self._keep())
        recorder = asyncio.create_task(self._record_regularly())
        try:
            await self._open_first()
            await self._feed()
            await self._finish_workers()
        finally:
            self._drained = True
            self._wake_recorder.set()
            await recorder
            keeper.cancel()
            await self._close_connections()
            await asyncio.to_thread(self.share.give_back)
            self._thread.shutdown()
            for name, handler in before.items():  # who ran the lane within itself hears its own signals again
                loop.remove_signal_handler(name)
                signal.signal(name, handler)
        return self.stopping or "empty"

    def stop(self, why: str) -> None:
        """Gates no more; what is in hand is finished and recorded."""
        self.stopping = self.stopping or why
        if why in _AT_ONCE:
            self._release(self._ready)
        self._wake_feeder.set()
        self._wake_workers.set()

    async def _in_thread(self, function: Callable[[Session], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_transaction, function)

    def _in_transaction(self, function: Callable[[Session], T]) -> T:
        """One write transaction, in the database thread."""
        with self.database.writing() as session:
            return function(session)

    # ---- feeding: claim and gate ----

    async def _feed(self) -> None:
        while not self.stopping:
            if not self._todo and not await self._claim():
                self.stop("empty")
                break
            self._low = self._ahead() // 2
            if len(self._ready) > self._low:
                self._wake_feeder.clear()
                await self._wake_feeder.wait()
                continue
            await self._gate()

    def _ahead(self) -> int:
        """How many rows the pool starts in about 100 ms: at least one for each connection."""
        passed = max(asyncio.get_running_loop().time() - self._began, 0.05)
        wanted = max(len(self._workers), int(self.attempted / passed * GATE_AHEAD_S))
        return max(min(wanted, self._gate_max), 1)

    async def _claim(self) -> bool:
        def work(session: Session) -> tuple[int, list[chunks.Waiting]] | None:
            now = self.now()
            chunk = chunks.claim(session, self.campaign_id, self.lane_id, now)
            return None if chunk is None else (chunk.number, chunks.waiting(session, chunk, now))

        found = await self._try_database(work)
        if found is None:
            return False
        number, waiting = found
        self._open[number] = _OpenChunk(number, len(waiting))
        self._todo.extend(Candidate(w.number, w.member_id) for w in waiting)
        if not waiting:
            await self._let_go(number)
        return True

    async def _gate(self) -> None:
        batch = [self._todo.popleft() for _ in range(min(len(self._todo), self._ahead()))]
        if not batch:
            return
        started = clock.boottime()

        def work(session: Session) -> tuple[list[Gated], bool]:
            gated = gate(
                session, lane_id=self.lane_id, campaign_id=self.campaign_id, revision=self.programs.revision,
                candidates=batch, started=started, now=self.now(),
            )  # fmt: skip
            campaign = session.get_one(Campaign, self.campaign_id)
            return gated, campaign.status == CampaignStatus.SENDING and campaign.revision == self.programs.revision

        try:
            answer = await self._try_database(work)
        except LaneDead:
            self.stop("dead")
            return
        if answer is None:  # the gate may have committed: recovery finds no D and puts the rows back
            return
        self._pace(clock.boottime() - started)
        gated, goes_on = answer
        self._after_gate(batch, gated)
        if not goes_on:
            self.stop("campaign")

    def _pace(self, took_s: float) -> None:
        """A gate that eats up the time until MAIL lets nobody through: a slow database gets smaller batches."""
        if took_s > GATE_TO_MAIL_S / 4:
            self._gate_max = max(self._gate_max // 2, 1)
        elif self._gate_max < GATE_MAX:
            self._gate_max = min(self._gate_max * 2, GATE_MAX)

    def _after_gate(self, batch: list[Candidate], gated: list[Gated]) -> None:
        through = {row.number for row in gated}
        for candidate in batch:
            if candidate.number in through:
                continue
            if candidate.fence is None:
                self._done_with(candidate.number)
            else:  # it was sending already and may go no further: back to the queue (or suppressed by the gate: then this changes nothing)
                self._results.append(Result(candidate.number, candidate.member_id, candidate.fence, 0, outcomes.RELEASED))
        self._ready.extend(gated)
        self._wake_workers.set()

    async def _try_database(self, work: Callable[[Session], T]) -> T | None:
        try:
            return await self._in_thread(work)
        except SQLAlchemyError as error:
            log.warning("lane lost the database", extra={"lane": self.lane_id, "error": type(error).__name__})
            self.stop("database")
            return None

    # ---- connections ----

    async def _open_first(self) -> None:
        """The first connection before anything is claimed: a provider that cannot be reached costs no delivery anything."""
        granted = await asyncio.to_thread(self.share.renew)
        while granted == 0 and not self.stopping:
            await asyncio.sleep(0.2)
            if asyncio.get_running_loop().time() - self._began > self.seconds / 4:
                self.stop("busy")
            granted = await asyncio.to_thread(self.share.renew)
        if self.stopping:
            return
        try:
            first = await self._connect(None)
        except ProviderTrouble as trouble:
            await self._trouble(trouble)
            return
        await self._in_thread(partial(brakes.provider_works, provider_id=self.provider_id))
        self._add_worker(first)
        for _ in range(granted - 1):
            self._add_worker(None)

    def _add_worker(self, connection: Connection | None) -> None:
        task = asyncio.create_task(self._work(connection))
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def _trouble(self, trouble: ProviderTrouble) -> None:
        self.stop("provider")
        await self._try_database(
            partial(brakes.provider_fails, campaign_id=self.campaign_id, provider_id=self.provider_id, trouble=trouble, now=self.now())
        )

    async def _work(self, connection: Connection | None) -> None:
        """One connection, mail after mail, as long as the lane's share allows it."""
        failures = 0
        while not self._retires():
            if connection is None or not connection.usable:
                try:
                    connection = await self._connect(connection)
                    failures = 0
                except ProviderTrouble as trouble:
                    failures += 1
                    if failures >= 3 or not self._connections:
                        await self._trouble(trouble)
                    if self.stopping:
                        return
                    await asyncio.sleep(2.0**failures)
                    continue
            gated = await self._next()
            if gated is None:
                return
            if connection.usable:
                await self._send(connection, gated)
            else:  # the server closed it while it was idle
                self._again(gated)
        if connection is not None:
            self._connections.discard(connection)
            await connection.leave()

    def _retires(self) -> bool:
        """Whether this worker is one too many for the lane's share. It is out of the count at once, else all would leave together."""
        if len(self._workers) <= max(self.share.granted, 1):
            return False
        task = asyncio.current_task()
        if task is not None:
            self._workers.discard(task)
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        return True

    async def _next(self) -> Gated | None:
        while not self._ready:
            if self.stopping:
                return None
            self._wake_feeder.set()
            self._wake_workers.clear()
            await self._wake_workers.wait()
        gated = self._ready.popleft()
        if len(self._ready) <= self._low:
            self._wake_feeder.set()
        return gated

    async def _connect(self, old: Connection | None) -> Connection:
        if old is not None:
            self._connections.discard(old)
            old.abandon()
        connection = await Connection.open(self.account)
        self._connections.add(connection)
        return connection

    # ---- one mail ----

    async def _send(self, connection: Connection, gated: Gated) -> None:
        self.attempted += 1
        try:
            recipient = addresses.as_mailbox(gated.email).encode("ascii")
            message = self.programs.splice(gated, self._date)
        except (addresses.AddressError, ValueError, KeyError) as error:
            log.warning("delivery cannot be made", extra={"delivery": gated.number, "error": type(error).__name__})
            self._result(gated, outcomes.failed("address" if isinstance(error, addresses.AddressError) else "render"))
            return
        try:
            outcome = await self._transact(connection, gated, recipient, message)
        except TooLate:
            self._again(gated)
            return
        self._result(gated, outcome)

    async def _transact(self, connection: Connection, gated: Gated, recipient: bytes, message: bytes) -> Outcome:
        limit = gated.gated_at + GATE_TO_MAIL_S
        dotted = False
        try:
            await connection.transaction(self.programs.sender, recipient, lambda: clock.boottime() <= limit)
            self.journal.dot(gated.number, gated.fence)
            connection.write_message(message)
            dotted = True
            reply = await connection.dot_reply()
        except RefusedReply as refusal:
            return outcomes.of_refusal(refusal)
        except ConnectionLost as lost:
            connection.abandon()
            # Before the dot a server may not deliver; after it the mail may have arrived, and only a person may send it again.
            return outcomes.uncertain(lost.why) if dotted else outcomes.requeued(lost.why)
        except JournalError as error:
            connection.abandon()
            self._journal_fails(error)
            return outcomes.requeued("the journal cannot be written")
        self._journal_reply(gated, reply.code, reply.text)
        if reply.code == 421:
            connection.abandon()
        return outcomes.of_reply(reply)

    def _journal_reply(self, gated: Gated, code: int, text: str) -> None:
        """R spares a kill the question. Without room for it the outcome is still recorded, if the process lives to do so."""
        try:
            self.journal.reply(gated.number, gated.fence, code, text)
        except JournalError as error:
            self._journal_fails(error)

    def _journal_fails(self, error: JournalError) -> None:
        """A disk that is full or broken: no further dot, and the campaign pauses with the cause."""
        log.error("journal", extra={"lane": self.lane_id, "error": str(error)})
        self._brake = self._brake or "journal"
        self.stop("journal")

    def _again(self, gated: Gated) -> None:
        """The time since its gate is over: it is gated again under its attempt, and spliced again from what holds then."""
        if self.stopping:
            self._result(gated, outcomes.RELEASED)
        else:
            self._todo.appendleft(Candidate(gated.number, gated.member_id, gated.fence))
            self._wake_feeder.set()

    def _result(self, gated: Gated, outcome: Outcome) -> None:
        self._results.append(Result(gated.number, gated.member_id, gated.fence, gated.tries, outcome))
        if outcome is outcomes.ACCEPTED_250:
            self.accepted += 1
        why = self.recent.add(outcome)
        if why is not None:
            self._brake = why
            self.stop("brake")
        if len(self._results) >= RECORD_MAX:
            self._wake_recorder.set()

    # ---- recording ----

    async def _record_regularly(self) -> None:
        failing_since: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake_recorder.wait(), RECORD_EVERY_S if failing_since is None else 1.0)
            self._wake_recorder.clear()
            drained = self._drained
            batch, self._results = self._results, []
            if batch and not await self._record(batch):
                self._results = batch + self._results
                failing_since = failing_since or loop.time()
                if drained and loop.time() - failing_since > GIVE_UP_RECORDING_S:
                    return  # the journal keeps what was answered; recovery reads it when the database is back
                continue
            failing_since = None
            if drained and not self._results:
                return

    async def _record(self, batch: list[Result]) -> bool:
        try:
            await self._in_thread(lambda session: self._write_results(session, batch))
        except SQLAlchemyError as error:
            log.warning("results wait for the database", extra={"lane": self.lane_id, "count": len(batch), "error": type(error).__name__})
            self.stop("database")
            return False
        for result in batch:
            self.journal.recorded(result.number, result.fence)
            self._done_with(result.number)
        for number in [chunk.number for chunk in self._open.values() if chunk.in_hand <= 0]:
            await self._let_go(number)
        return True

    def _write_results(self, session: Session, batch: list[Result]) -> None:
        record(session, self.campaign_id, self.lane_id, batch, self.now(), self.provider_id)
        if self._brake is not None:
            brakes.pause(session, self.campaign_id, self._brake, self.recent.detail, self.now())

    def _done_with(self, number: int) -> None:
        chunk = self._open.get((number - 1) // chunks.CHUNK + 1)
        if chunk is not None:
            chunk.in_hand -= 1

    async def _let_go(self, number: int) -> None:
        self._open.pop(number, None)
        await self._try_database(lambda session: chunks.let_go(session, self.campaign_id, number, self.lane_id))

    # ---- keeping alive, ending ----

    async def _keep(self) -> None:
        """Reply deadlines, connection share, the end of the minute; every 15 s a heartbeat, also while nothing is gated."""
        loop = asyncio.get_running_loop()
        beaten = loop.time()
        while True:
            # A lane that joins waits until the others have given their surplus back: four times a second, so that it waits little.
            await asyncio.sleep(0.25)
            now = loop.time()
            self._date = date_header(self.now())
            for connection in list(self._connections):
                connection.replies_from.expire(now)
            if now - self._began > self.seconds:
                self.stop("time")
            granted = await asyncio.to_thread(self.share.renew)
            while not self.stopping and len(self._workers) < granted:
                self._add_worker(None)
            if now - beaten > HEARTBEAT_S:
                beaten = now
                try:
                    await self._try_database(lambda session: heartbeat(session, self.lane_id))
                except LaneDead:
                    self.stop("dead")

    async def _finish_workers(self) -> None:
        while self._workers | self._leaving:
            self._wake_workers.set()
            await asyncio.wait(self._workers | self._leaving, timeout=0.5)
        self._release(self._ready)
        for candidate in self._todo:
            if candidate.fence is not None:
                self._results.append(Result(candidate.number, candidate.member_id, candidate.fence, 0, outcomes.RELEASED))
        self._todo.clear()

    def _release(self, gated: deque[Gated]) -> None:
        while gated:
            self._result(gated.popleft(), outcomes.RELEASED)

    async def _close_connections(self) -> None:
        await asyncio.gather(*(connection.leave() for connection in self._connections if connection.is_connected))

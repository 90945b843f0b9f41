"""A lane: one process that takes chunks of a campaign and sends them until they are gone or its minute is over.

    claim a chunk → connection open and idle → gate → splice → MAIL RCPT DATA → journal D → message and dot → journal R → record in bulk

The event loop talks SMTP; one thread beside it talks to the database (gate and record), so that no session is open while SMTP is
waited for. Whatever dies here, recovery knows from the journal how far each delivery came (DESIGN.md "Delivery semantics").
"""

import asyncio
import logging
import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from kairan import addresses, clock
from kairan.database import Database
from kairan.settings import SmtpAccount
from mailer.delivery import brakes, outcomes
from mailer.delivery.dkim import NoHeaders, Signer
from mailer.delivery.feeder import GATE_TO_MAIL_S, Feeder
from mailer.delivery.gate import Gated, LaneDead, heartbeat
from mailer.delivery.journal import Journal, JournalError
from mailer.delivery.outcomes import Outcome
from mailer.delivery.programs import ProgramSet, date_header
from mailer.delivery.rates import Rate
from mailer.delivery.record import Result
from mailer.delivery.recorder import Recorder
from mailer.delivery.smtp import Connection, ConnectionLost, ProviderTrouble, RefusedReply, TooLate
from mailer.delivery.stint import AT_ONCE, Stint
from mailer.delivery.throttle import Share

HEARTBEAT_S = 15.0
SLOW_FIRST_S = 0.1
SLOW_MAX_S = 5.0
LANE_S = 60.0

log = logging.getLogger(__name__)


def slow_s(drops: int) -> float:
    """How long a connection that was lost so many times in a row is left closed, at most."""
    return min(SLOW_FIRST_S * 2 ** min(drops - 1, 10), SLOW_MAX_S) if drops else 0.0


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
    rate: Rate | None = None
    signer: Signer | None = None
    has_ceiling: bool = False
    seconds: float = LANE_S
    now: Callable[[], datetime] = clock.now

    stint: Stint = field(init=False)
    feeder: Feeder = field(init=False)
    recorder: Recorder = field(init=False)
    _connections: set[Connection] = field(default_factory=set)
    _workers: set[asyncio.Task[None]] = field(default_factory=set)
    _leaving: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stint = Stint(
            self.lane_id, self.campaign_id, self.programs.revision, self.provider_id, self.has_ceiling, self.database, self.now
        )

    # ---- the loop ----

    async def run(self) -> str:
        """Sends until there is nothing due, the time is over or something stops it. Returns why it stopped."""
        loop, stint = asyncio.get_running_loop(), self.stint
        before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
        for name in before:
            loop.add_signal_handler(name, partial(stint.stop, "signal"))
        self.recorder = Recorder(stint, self.journal, self._recorded)
        self.feeder = Feeder(stint, self.rate, lambda: len(self._workers), self.recorder.put)
        stint.on_stop.append(self._stopped)
        self._signing = ThreadPoolExecutor(os.cpu_count() or 1, "signing") if self.signer else None
        self._began = loop.time()
        self._date = date_header(self.now())
        keeper = asyncio.create_task(self._keep())
        recording = asyncio.create_task(self.recorder.run())
        try:
            await self._open_first()
            await self.feeder.run()
            await self._finish_workers()
        finally:
            self.recorder.drain()
            await recording
            if stint.stopping not in ("dead", "database"):
                await self.feeder.let_all_go()
            keeper.cancel()
            await self._close_connections()
            await asyncio.to_thread(self.share.give_back)
            stint.close()
            if self._signing:
                self._signing.shutdown()
            for name, handler in before.items():  # who ran the lane within itself hears its own signals again
                loop.remove_signal_handler(name)
                signal.signal(name, handler)
        return stint.stopping or "empty"

    def _stopped(self, why: str) -> None:
        if why in AT_ONCE:
            self._release()

    async def _recorded(self, batch: list[Result]) -> None:
        for result in batch:
            self.feeder.done(result.number)
        await self.feeder.let_finished_go()

    # ---- connections ----

    async def _open_first(self) -> None:
        """The first connection before anything is claimed: a provider that cannot be reached costs no delivery anything."""
        stint = self.stint
        granted = await asyncio.to_thread(self.share.renew)
        while granted == 0 and not stint.stopping:
            await asyncio.sleep(0.2)
            if asyncio.get_running_loop().time() - self._began > self.seconds / 4:
                stint.stop("busy")
            granted = await asyncio.to_thread(self.share.renew)
        if stint.stopping:
            return
        try:
            first = await self._connect(None)
        except ProviderTrouble as trouble:
            await self._trouble(trouble)
            return
        await stint.try_to_write(partial(brakes.provider_works, provider_id=self.provider_id))
        self._add_worker(first)
        for _ in range(granted - 1):
            self._add_worker(None)

    def _add_worker(self, connection: Connection | None) -> None:
        task = asyncio.create_task(self._work(connection))
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def _trouble(self, trouble: ProviderTrouble) -> None:
        self.stint.stop("provider")
        await self.stint.try_to_write(
            partial(brakes.provider_fails, campaign_id=self.campaign_id, provider_id=self.provider_id, trouble=trouble, now=self.now())
        )

    async def _work(self, connection: Connection | None) -> None:
        """One connection, mail after mail, as long as the lane's share allows it."""
        failures = 0
        while not self._retires():
            if connection is None or not connection.usable:
                if connection is not None:
                    await self._slow_down(connection.drops)
                try:
                    connection = await self._connect(connection)
                    failures = 0
                except ProviderTrouble as trouble:
                    failures += 1
                    if failures >= 3 or not self._connections:
                        await self._trouble(trouble)
                    if self.stint.stopping:
                        return
                    await asyncio.sleep(2.0**failures)
                    continue
            gated = await self.feeder.next()
            if gated is None:
                return
            if connection.usable:
                await self._send(connection, gated)
            else:  # the server closed it while it was idle
                self._again(gated)
        if connection is not None:
            self._connections.discard(connection)
            await connection.leave()

    async def _slow_down(self, drops: int) -> None:
        """Before a connection is opened again: a server that says 421 or hangs up is over its limit, and asking at once makes it worse."""
        until = asyncio.get_running_loop().time() + slow_s(drops) * random.uniform(0.5, 1.0)
        while not self.stint.stopping and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.1)

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

    async def _connect(self, old: Connection | None) -> Connection:
        if old is not None:
            self._connections.discard(old)
            old.abandon()
        connection = await Connection.open(self.account)
        connection.drops = old.drops if old is not None else 0
        self._connections.add(connection)
        return connection

    # ---- one mail ----

    async def _send(self, connection: Connection, gated: Gated) -> None:
        try:
            recipient = addresses.as_mailbox(gated.email).encode("ascii")
            message = self.programs.splice(gated, self._date)
            if self.signer is not None:
                message = await asyncio.get_running_loop().run_in_executor(self._signing, self.signer.sign, message)
        except (addresses.AddressError, NoHeaders, ValueError, KeyError) as error:
            log.warning("delivery cannot be made", extra={"delivery": gated.number, "error": type(error).__name__})
            self.recorder.add(gated, outcomes.failed("address" if isinstance(error, addresses.AddressError) else "render"))
            return
        try:
            outcome = await self._transact(connection, gated, recipient, message)
        except TooLate:
            self._again(gated)
            return
        self.recorder.add(gated, outcome)

    async def _transact(self, connection: Connection, gated: Gated, recipient: bytes, message: bytes) -> Outcome:
        limit = gated.gated_at + GATE_TO_MAIL_S
        dotted = False
        try:
            await connection.transaction(self.programs.sender, recipient, lambda: clock.boottime() <= limit)
            self.recorder.begun()
            self.journal.dot(gated.number, gated.fence)
            connection.write_message(message)
            dotted = True
            reply = await connection.dot_reply()
        except RefusedReply as refusal:
            connection.drops += refusal.reply.code == 421
            return outcomes.of_refusal(refusal)
        except ConnectionLost as lost:
            connection.abandon()
            connection.drops += not dotted
            # Before the dot a server may not deliver; after it the mail may have arrived, and only a person may send it again.
            return outcomes.uncertain(lost.why) if dotted else outcomes.requeued(lost.why)
        except JournalError as error:
            connection.abandon()
            self._journal_fails(error)
            return outcomes.requeued("the journal cannot be written")
        self._journal_reply(gated, reply.code, reply.text)
        if reply.code == 421:
            connection.drops += 1
            connection.abandon()
        elif reply.code < 300:
            connection.drops = 0
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
        self.stint.brake = self.stint.brake or "journal"
        self.stint.stop("journal")

    def _again(self, gated: Gated) -> None:
        if self.stint.stopping:
            self.recorder.add(gated, outcomes.RELEASED)
        else:
            self.feeder.again(gated)

    # ---- keeping alive, ending ----

    async def _keep(self) -> None:
        """Reply deadlines, connection share, the end of the minute; every 15 s a heartbeat, also while nothing is gated."""
        loop, stint = asyncio.get_running_loop(), self.stint
        beaten = loop.time()
        while True:
            # A lane that joins waits until the others have given their surplus back: four times a second, so that it waits little.
            await asyncio.sleep(0.25)
            now = loop.time()
            self._date = date_header(self.now())
            for connection in list(self._connections):
                connection.replies_from.expire(now)
            if now - self._began > self.seconds:
                stint.stop("time")
            granted = await asyncio.to_thread(self.share.renew)
            while not stint.stopping and len(self._workers) < granted:
                self._add_worker(None)
            if now - beaten > HEARTBEAT_S:
                beaten = now
                try:
                    await stint.try_to_write(self._beat)
                except LaneDead:
                    stint.stop("dead")

    def _beat(self, session: Session) -> None:
        heartbeat(session, self.lane_id)

    async def _finish_workers(self) -> None:
        while self._workers | self._leaving:
            self.feeder.wake_workers.set()
            await asyncio.wait(self._workers | self._leaving, timeout=0.5)
        self._release()

    def _release(self) -> None:
        for result in self.feeder.leave():
            self.recorder.put(result)

    async def _close_connections(self) -> None:
        await asyncio.gather(*(connection.leave() for connection in self._connections if connection.is_connected))

"""The feeding part of a lane: chunks are claimed, permits taken, micro-batches gated, so that the connections always find mail ready.

claim a chunk → what is due in it, by rate group → permits of the provider's rate → today's ceiling and the gate in one transaction
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.delivery import ceilings, chunks, outcomes
from mailer.delivery.gate import Candidate, Gated, LaneDead, gate
from mailer.delivery.rates import Rate
from mailer.delivery.record import Result
from mailer.delivery.stint import Stint

GATE_TO_MAIL_S = 0.8
GATE_AHEAD_S = 0.1
GATE_MAX = 500
HELD_MAX = 20_000
"""deliveries that may wait in a lane for slow domains while it claims further chunks for the others"""
CLAIM_EVERY_S = 2.0
LOOK_AGAIN_S = 0.5
"""the longest wait for a permit before the lane looks whether it still goes on"""


@dataclass
class _Batch:
    """What goes through one gate: those with a permit of their own, and those of an earlier attempt, which had theirs."""

    again: list[Candidate]
    fresh: list[Candidate]
    permits: dict[str, int]


class Feeder:
    """Keeps `ready` filled."""

    def __init__(self, stint: Stint, rate: Rate | None, workers: Callable[[], int], put: Callable[[Result], None]) -> None:
        """`workers`: how many connections want mail; `put` takes results of deliveries that came no further than the gate."""
        self._stint = stint
        self._rate = rate if rate is not None and rate.limited else None
        self._workers = workers
        self._put = put
        self.ready: deque[Gated] = deque()
        self.wake_workers = asyncio.Event()
        self._wake = asyncio.Event()
        self._todo: dict[str, deque[Candidate]] = {}
        self._again: deque[Candidate] = deque()
        self._open: dict[int, int] = {}
        """chunk → deliveries of it that this lane still has in hand"""
        self._gate_max = GATE_MAX
        self._low = 0
        """rows ready at which the next gate begins"""
        self._began = asyncio.get_running_loop().time()
        self.begun = 0
        self._claim_at = 0.0
        stint.on_stop.append(self._stopped)

    async def run(self) -> None:
        stint = self._stint
        while not stint.stopping:
            if not self._again and not self._has_fast_work() and not await self._claim_in_time() and not self._waiting():
                stint.stop("empty")
                break
            self._low = self._ahead() // 2
            if len(self.ready) > self._low:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gate()

    def _stopped(self, why: str) -> None:
        self._wake.set()
        self.wake_workers.set()

    # ---- what connections ask ----

    async def next(self) -> Gated | None:
        while not self.ready:
            if self._stint.stopping:
                return None
            self._wake.set()
            self.wake_workers.clear()
            await self.wake_workers.wait()
        gated = self.ready.popleft()
        self.begun += 1
        if len(self.ready) <= self._low:
            self._wake.set()
        return gated

    def again(self, gated: Gated) -> None:
        """The time since its gate is over: it is gated again under its attempt, and spliced again from what holds then."""
        self._again.appendleft(Candidate(gated.number, gated.member_id, gated.fence))
        self._wake.set()

    def leave(self) -> Iterable[Result]:
        """At the end: those that are sending in the database and will not be begun by this lane."""
        for gated in self.ready:
            yield Result(gated.number, gated.member_id, gated.fence, gated.tries, outcomes.RELEASED)
        for candidate in self._again:
            yield Result(candidate.number, candidate.member_id, candidate.fence or 0, 0, outcomes.RELEASED)
        self.ready.clear()
        self._again.clear()
        self._todo.clear()

    # ---- chunks ----

    def _waiting(self) -> int:
        return sum(map(len, self._todo.values()))

    def _has_fast_work(self) -> bool:
        """Something that only the provider's own rate holds; else another chunk is claimed, up to a bound."""
        return bool(self._todo.get("")) or self._waiting() >= HELD_MAX

    async def _claim_in_time(self) -> bool:
        """While some deliveries wait for their domain's rate, the question for further chunks is asked every two seconds."""
        now = asyncio.get_running_loop().time()
        if self._waiting() and now < self._claim_at:
            return False
        self._claim_at = now + CLAIM_EVERY_S
        return await self._claim()

    async def _claim(self) -> bool:
        stint = self._stint
        with_domains = self._rate is not None and self._rate.has_groups

        def work(session: Session) -> tuple[int, list[chunks.Waiting]] | None:
            now = stint.now()
            chunk = chunks.claim(session, stint.campaign_id, stint.lane_id, now)
            return None if chunk is None else (chunk.number, chunks.waiting(session, chunk, now, with_domains=with_domains))

        found = await stint.try_to_write(work)
        if found is None:
            return False
        number, waiting = found
        self._open[number] = len(waiting)
        for row in waiting:
            group = self._rate.group_of(row.domain) if self._rate is not None and with_domains else ""
            self._todo.setdefault(group, deque()).append(Candidate(row.number, row.member_id))
        if not waiting:
            await self._let_go(number)
        return True

    def done(self, number: int) -> None:
        """A delivery is out of this lane's hands."""
        chunk = (number - 1) // chunks.CHUNK + 1
        if chunk in self._open:
            self._open[chunk] -= 1

    async def let_finished_go(self) -> None:
        for number in [number for number, in_hand in self._open.items() if in_hand <= 0]:
            await self._let_go(number)

    async def let_all_go(self) -> None:
        """At the end, with nothing in hand: the next lane need not wait for a sweep to find what this one left."""
        for number in list(self._open):
            await self._let_go(number)

    async def _let_go(self, number: int) -> None:
        self._open.pop(number, None)
        stint = self._stint
        await stint.try_to_write(lambda session: chunks.let_go(session, stint.campaign_id, number, stint.lane_id))

    # ---- gating ----

    def _ahead(self) -> int:
        """How many rows the pool starts in about 100 ms: at least one for each connection."""
        passed = max(asyncio.get_running_loop().time() - self._began, 0.05)
        return max(min(max(self._workers(), int(self.begun / passed * GATE_AHEAD_S)), self._gate_max), 1)

    async def _gate(self) -> None:
        batch = await self._batch()
        if batch is None:
            return
        stint, started = self._stint, clock.boottime()
        try:
            answer = await stint.try_to_write(lambda session: self._through(session, batch, started))
        except LaneDead:
            stint.stop("dead")
            return
        if answer is None:  # the gate may have committed: recovery finds no D and puts the rows back
            return
        self._pace(clock.boottime() - started)
        gated, tried, goes_on = answer
        await self._after_gate(batch, gated, tried)
        if not goes_on:
            stint.stop("campaign")

    async def _batch(self) -> _Batch | None:
        """What may go now; None where nothing may, after a wait."""
        room = self._ahead()
        again = [self._again.popleft() for _ in range(min(len(self._again), room))]
        wanted = self._wanted(room - len(again))
        granted = wanted
        if self._rate is not None and wanted:
            granted = await asyncio.to_thread(self._rate.take, wanted)
        fresh = [self._todo[group].popleft() for group, count in granted.items() for _ in range(count)]
        if again or fresh:
            return _Batch(again, fresh, granted)
        if self._rate is not None and wanted:
            await asyncio.sleep(min(self._rate.wait_s(), LOOK_AGAIN_S))
        return None

    def _wanted(self, room: int) -> dict[str, int]:
        """From each group as much as there is room for: what one may not start now must not keep the others from it."""
        if self._rate is None:
            return {"": min(len(self._todo.get("", ())), room)} if room > 0 else {}
        return {group: min(len(queue), room) for group, queue in self._todo.items() if queue and room > 0}

    def _through(self, session: Session, batch: _Batch, started: float) -> tuple[list[Gated], int, bool]:
        """(those that may be mailed, how many of the fresh were tried, whether the campaign goes on)."""
        stint, now = self._stint, self._stint.now()
        tried = len(batch.fresh)
        if stint.has_ceiling:
            tried = ceilings.reserve_today(session, stint.provider_id, tried, now)
        candidates = batch.again + batch.fresh[:tried]
        gated = gate(
            session, lane_id=stint.lane_id, campaign_id=stint.campaign_id, revision=stint.revision, candidates=candidates,
            started=started, now=now,
        )  # fmt: skip
        if stint.has_ceiling:
            known = {candidate.number for candidate in batch.again}
            ceilings.give_back_today(session, stint.provider_id, tried - sum(row.number not in known for row in gated), now)
        campaign = session.get_one(Campaign, stint.campaign_id)
        return gated, tried, campaign.status == CampaignStatus.SENDING and campaign.revision == stint.revision

    def _pace(self, took_s: float) -> None:
        """A gate that eats up the time until MAIL lets nobody through: a slow database gets smaller batches."""
        if took_s > GATE_TO_MAIL_S / 4:
            self._gate_max = max(self._gate_max // 2, 1)
        elif self._gate_max < GATE_MAX:
            self._gate_max = min(self._gate_max * 2, GATE_MAX)

    async def _after_gate(self, batch: _Batch, gated: list[Gated], tried: int) -> None:
        through = {row.number for row in gated}
        stopped = [candidate for candidate in batch.fresh[:tried] if candidate.number not in through]
        for candidate in stopped:
            self.done(candidate.number)
        for candidate in batch.again:
            if candidate.number not in through and candidate.fence is not None:
                # Sending already, and it may go no further: back to the queue (or suppressed by the gate: then this changes nothing).
                self._put(Result(candidate.number, candidate.member_id, candidate.fence, 0, outcomes.RELEASED))
        self.ready.extend(gated)
        self.wake_workers.set()
        left = batch.fresh[tried:]
        if self._rate is not None and (stopped or left):
            await asyncio.to_thread(self._rate.give_back, self._groups(batch, {c.number for c in (*stopped, *left)}))
        if left:
            self._todo.setdefault("", deque()).extendleft(reversed(left))
            self._stint.stop("ceiling")

    def _groups(self, batch: _Batch, unused: set[int]) -> dict[str, int]:
        """Permits that were not used, by group: the fresh stand in the order of their groups."""
        counts: dict[str, int] = {}
        at = 0
        for group, count in batch.permits.items():
            counts[group] = sum(candidate.number in unused for candidate in batch.fresh[at : at + count])
            at += count
        return counts

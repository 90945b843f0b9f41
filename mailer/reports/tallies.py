"""How the deliveries of a campaign stand, counted chunk by chunk and kept in this process: a poll recounts only what may have changed.

A chunk whose deliveries have all ended is counted once for ever: nothing moves out of those states (mailer.delivery.states.MOVES). One
that a lane holds, or whose due time or lane changed, is counted at every look; of the rest the longest not looked at, a few a look.
So 1,000,000 deliveries cost a scan at the first look of a process and some chunks of 2,000 at each further one.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.deliveries import Chunk, State
from mailer.reports.chunk_counts import WHOLE, Domain, Group, Key, Range, domains_of, groups_of, groups_of_all

KEPT_S = 1.0
SMALL = 10
"""chunks: a campaign of up to 20,000 is counted whole, every time"""
LOOKS_MAX = 8
"""chunks counted again at one look although nothing says that they changed"""
OLD_S = 5.0
WINDOW_S = 30
TALLIES_MAX = 200
ENDED = frozenset({State.ACCEPTED, State.REJECTED, State.SUPPRESSED, State.CANCELLED, State.FAILED, State.EXPIRED})
TROUBLED = frozenset({State.REJECTED, State.DEFERRED, State.UNCERTAIN, State.FAILED, State.EXPIRED})


@dataclass(slots=True)
class _Counted:
    """One chunk as it was at its last look."""

    sign: tuple[object, ...]
    limits: Range
    looked: float
    changed: float
    groups: dict[Key, Group]
    domains: dict[str, Domain] | None = None
    domains_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        return bool(self.groups) and all(key.state in ENDED for key in self.groups)

    def wants_domains(self, now: float) -> bool:
        return self.domains is None or (self.domains_at < self.changed and now - self.domains_at > OLD_S)


@dataclass(frozen=True, slots=True)
class Problem:
    """Replies that say the same: how often, one of them, when the next of these deliveries is tried again."""

    state: int
    code: int | None
    reason: str | None
    sample: str | None
    count: int
    due_at: datetime | None


@dataclass
class Tally:
    """One campaign's; `states` sums up to the deliveries that are written."""

    at: float = 0.0
    chunks: dict[int, _Counted] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    history: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))
    groups: dict[Key, Group] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, int]:
        found = dict.fromkeys((state.name.lower() for state in State), 0)
        for key, group in self.groups.items():
            found[State(key.state).name.lower()] += group.count
        return found

    @property
    def providers(self) -> dict[int, dict[str, int]]:
        """What came of the attempts through each: accepted, deferred, rejected, uncertain."""
        found: dict[int, dict[str, int]] = {}
        for key, group in self.groups.items():
            if key.provider_id is not None:
                counts = found.setdefault(key.provider_id, {})
                name = State(key.state).name.lower()
                counts[name] = counts.get(name, 0) + group.count
        return found

    def problems(self, limit: int = 8) -> list[Problem]:
        """The most frequent first; whichever provider it was."""
        merged: dict[tuple[object, ...], Group] = {}
        for key, group in self.groups.items():
            if key.state in TROUBLED:
                merged.setdefault((key.state, key.code, key.reason, key.enhanced), Group()).add(group)
        found = [
            Problem(state, code, reason, group.sample, group.count, group.due_at)  # type: ignore[arg-type]
            for (state, code, reason, _enhanced), group in merged.items()
        ]
        return sorted(found, key=lambda problem: -problem.count)[:limit]

    def next_due(self, state: State) -> datetime | None:
        """When the first of those in this state may go."""
        return min((group.due_at for key, group in self.groups.items() if key.state == state and group.due_at), default=None)

    def chunks_with(self, state: State) -> list[int]:
        """Numbers of the chunks that have such deliveries; WHOLE: some of the chunks of a small campaign."""
        return sorted(number for number, each in self.chunks.items() if any(key.state == state for key in each.groups))

    def domains(self, limit: int = 8) -> list[tuple[str, Domain]]:
        """The largest first; '' is all that are not kept by name."""
        merged: dict[str, Domain] = {}
        for each in self.chunks.values():
            for name, domain in (each.domains or {}).items():
                merged.setdefault(name, Domain()).add(domain)
        rest = merged.pop("", Domain())
        ranked = sorted(merged.items(), key=lambda item: (-item[1].total, item[0]))
        for _name, domain in ranked[limit:]:
            rest.add(domain)
        return [*ranked[:limit], *([("", rest)] if rest.total else [])]

    def domains_made_of(self) -> int:
        """How many deliveries the figures by domain are made of."""
        return sum(domain.total for each in self.chunks.values() for domain in (each.domains or {}).values())

    def rate_per_s(self, now: datetime) -> float:
        """Mails answered a second, over the last half minute."""
        recent = [entry for entry in self.history if entry[0] >= self.at - WINDOW_S]
        if recent and self.at - recent[0][0] >= WINDOW_S / 6:
            return max(0.0, (recent[-1][1] - recent[0][1]) / (self.at - recent[0][0]))
        since = now - timedelta(seconds=WINDOW_S)
        return sum(_since(group, since) for each in self.chunks.values() for key, group in each.groups.items() if _answered(key)) / WINDOW_S


_kept: dict[tuple[str, int], Tally] = {}
_lock = threading.Lock()


def tally(session: Session, campaign_id: int) -> Tally:
    """Up to a second old. Held by this process: whoever reads it must not change it."""
    found = _of(session, campaign_id)
    with found.lock:
        if time.monotonic() - found.at > KEPT_S:
            _look(session, campaign_id, found)
    return found


def forget(session: Session, campaign_id: int) -> None:
    """After a change by a person: the next look counts everything that has not ended."""
    with _lock:
        _kept.pop((str(session.get_bind().engine.url), campaign_id), None)


def forget_all() -> None:
    """As in a process that was just started."""
    with _lock:
        _kept.clear()


def count_domains(session: Session, campaign_id: int, chunks_max: int) -> None:
    """Counts recipient domains in so many further chunks (some ms each): the figures become whole over several looks."""
    found = _of(session, campaign_id)
    with found.lock:
        now = time.monotonic()
        wanted = [item for item in found.chunks.items() if item[1].wants_domains(now)]
        wanted.sort(key=lambda item: (item[1].domains is not None, item[1].domains_at))
        for _number, each in wanted[:chunks_max]:
            each.domains, each.domains_at = domains_of(session, campaign_id, each.limits), now


def _of(session: Session, campaign_id: int) -> Tally:
    with _lock:
        if len(_kept) > TALLIES_MAX:
            _kept.clear()
        return _kept.setdefault((str(session.get_bind().engine.url), campaign_id), Tally())


def _look(session: Session, campaign_id: int, found: Tally) -> None:
    started = time.monotonic()
    columns = (Chunk.number, Chunk.lane_id, Chunk.due_at, Chunk.first, Chunk.last)
    rows = session.execute(select(*columns).where(Chunk.campaign_id == campaign_id)).all()
    if len(rows) <= SMALL:
        sign = tuple((row.lane_id, row.due_at) for row in rows)
        before = found.chunks.get(WHOLE)
        if before is None or before.sign != sign or not (rows and before.has_ended):
            limits = (0, max((row.last for row in rows), default=0))
            found.chunks = {WHOLE: _renewed(before, sign, limits, groups_of_all(session, campaign_id), started)}
    else:
        found.chunks.pop(WHOLE, None)
        signs = {row.number: (row.lane_id, row.due_at) for row in rows}
        wanted = set(_wanted(found.chunks, signs, started))
        ranges = {row.number: (row.first, row.last) for row in rows if row.number in wanted}
        for number, groups in groups_of(session, campaign_id, ranges).items():
            found.chunks[number] = _renewed(found.chunks.get(number), signs[number], ranges[number], groups, started)
    merged: dict[Key, Group] = {}
    for each in found.chunks.values():
        for key, group in each.groups.items():
            merged.setdefault(key, Group()).add(group)
    found.groups, found.at = merged, time.monotonic()
    found.history.append((found.at, sum(group.count for key, group in merged.items() if _answered(key))))


def _renewed(before: _Counted | None, sign: tuple[object, ...], limits: Range, groups: dict[Key, Group], at: float) -> _Counted:
    if before is None:
        return _Counted(sign, limits, at, at, groups)
    changed = before.changed if before.groups == groups else at
    return _Counted(sign, limits, at, changed, groups, before.domains, before.domains_at)


def _wanted(chunks: dict[int, _Counted], signs: Mapping[int, tuple[object, object]], now: float) -> list[int]:
    changed = [number for number, sign in signs.items() if number not in chunks or chunks[number].sign != sign]
    same = [number for number in signs.keys() - set(changed) if not chunks[number].has_ended]
    held = [number for number in same if signs[number][0] is not None]
    rest = [number for number in same if signs[number][0] is None and now - chunks[number].looked > OLD_S]
    rest.sort(key=lambda number: chunks[number].looked)
    return [*changed, *[*held, *rest][:LOOKS_MAX]]


def _answered(key: Key) -> bool:
    return key.state in (State.ACCEPTED, State.REJECTED)


def _since(group: Group, since: datetime) -> float:
    """About how many of a group ended after a time, as if they had come evenly."""
    if group.first is None or group.last is None or group.last <= since:
        return 0.0
    length = (group.last - group.first).total_seconds()
    return group.count * min(1.0, (group.last - since).total_seconds() / length) if length else float(group.count)

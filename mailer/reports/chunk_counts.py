"""What stands in chunks of deliveries, grouped by the database: states with provider, code and reason, and recipient domains."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.sql import among, is_sqlite

WHOLE = 0
"""stands for all chunks of a small campaign"""
DOMAINS_KEPT = 50
"""recipient domains a chunk; the rest is counted together"""
ONE_BY_ONE = 64
"""chunks; more are counted in one statement"""
Range = tuple[int, int]
"""first and last number"""
_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


class Key(NamedTuple):
    """What deliveries that stand alike have in common."""

    state: int
    provider_id: int | None
    code: int | None
    reason: str | None
    enhanced: str


@dataclass(slots=True)
class Group:
    """Those that stand alike: how many, one of the replies, the next try, when the first and the last of them ended."""

    count: int = 0
    sample: str | None = None
    due_at: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None

    def add(self, other: "Group") -> None:
        self.count += other.count
        self.sample = self.sample or other.sample
        self.due_at = min(filter(None, (self.due_at, other.due_at)), default=None)
        self.first = min(filter(None, (self.first, other.first)), default=None)
        self.last = max(filter(None, (self.last, other.last)), default=None)


@dataclass(slots=True)
class Domain:
    """Of one recipient domain."""

    accepted: int = 0
    deferred: int = 0
    rejected: int = 0
    total: int = 0

    def add(self, other: "Domain") -> None:
        self.accepted += other.accepted
        self.deferred += other.deferred
        self.rejected += other.rejected
        self.total += other.total


_COLUMNS = (
    Delivery.state,
    Delivery.provider_id,
    Delivery.code,
    Delivery.reason,
    func.substr(Delivery.reply, 1, 11),
    func.count(),
    func.min(Delivery.reply),
    func.min(Delivery.due_at),
    func.min(Delivery.ended_at),
    func.max(Delivery.ended_at),
)
_ALIKE = _COLUMNS[:5]


def groups_of_all(session: Session, campaign_id: int) -> dict[Key, Group]:
    found: dict[Key, Group] = {}
    for row in session.execute(select(*_COLUMNS).where(Delivery.campaign_id == campaign_id).group_by(*_ALIKE)):
        _put(found, row)
    return found


def groups_of(session: Session, campaign_id: int, chunks: Mapping[int, Range]) -> dict[int, dict[Key, Group]]:
    """Of each chunk; one that has no deliveries is left out."""
    found: dict[int, dict[Key, Group]] = {}
    if len(chunks) <= ONE_BY_ONE:
        # One by one: joined with its chunks PostgreSQL read the whole table for four of them (160 ms, not 4).
        for number, limits in chunks.items():
            for row in session.execute(select(*_COLUMNS).where(*_within(campaign_id, limits)).group_by(*_ALIKE)):
                _put(found.setdefault(number, {}), row)
        return found
    joined = select(Chunk.number, *_COLUMNS).join(Delivery, _in_chunk()).where(Chunk.campaign_id == campaign_id)
    for number, *columns in session.execute(joined.group_by(Chunk.number, *_ALIKE)):
        if number in chunks:
            _put(found.setdefault(number, {}), columns)
    return found


def _in_chunk() -> ColumnElement[bool]:
    return and_(Delivery.campaign_id == Chunk.campaign_id, Delivery.number.between(Chunk.first, Chunk.last))


def _within(campaign_id: int, limits: Range) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Delivery.campaign_id == campaign_id, Delivery.number.between(*limits)


def _put(found: dict[Key, Group], row: Iterable[object]) -> None:
    """Replies are alike by their codes: words may hold a queue id that never comes twice."""
    state, provider_id, code, reason, start, count, sample, due_at, first, last = row
    match = _CODE.match(str(start or ""))
    key = Key(state, provider_id, code, reason, match.group() if match else "")  # type: ignore[arg-type]
    found.setdefault(key, Group()).add(Group(count, sample, due_at, first, last))  # type: ignore[arg-type]


def domains_of(session: Session, campaign_id: int, limits: Range) -> dict[str, Domain]:
    """Of the deliveries with these numbers; the smaller domains together as ''. Members by number: a join was planned as a scan of them."""
    states = {row[0]: row[1] for row in session.execute(select(Delivery.member_id, Delivery.state).where(*_within(campaign_id, limits)))}
    email = Member.email
    domain = func.lower(func.substr(email, func.instr(email, "@") + 1) if is_sqlite(session) else func.split_part(email, "@", 2))
    found: dict[str, Domain] = {}
    for member_id, name in session.execute(select(Member.id, domain).where(among(session, Member.id, states))):
        each, state = found.setdefault(name, Domain()), states[member_id]
        each.total += 1
        each.accepted += state == State.ACCEPTED
        each.deferred += state == State.DEFERRED
        each.rejected += state == State.REJECTED
    return _largest(found)


def _largest(domains: dict[str, Domain]) -> dict[str, Domain]:
    ranked = sorted(domains.items(), key=lambda item: -item[1].total)
    kept = dict(ranked[:DOMAINS_KEPT])
    for _name, domain in ranked[DOMAINS_KEPT:]:
        kept.setdefault("", Domain()).add(domain)
    return kept

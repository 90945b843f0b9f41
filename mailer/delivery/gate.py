"""The gate: the one place where a delivery starts to be sent, and the last moment at which a no of the member counts.

One fsynced transaction for a micro-batch: my lane row (the recovery of a lane waits for it), the members' rows (every no of a member
locks them first), then what holds now, then the conditional UPDATE. Read after the locks are held, nothing that a member decides
can change before the commit. Model-checked: ../shared/prototypes/model (lane_lock, member_lock, two_statements, regate_lane).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Text, and_, bindparam, cast, exists, or_, select, type_coerce, update
from sqlalchemy.orm import Session

from kairan.clock import database_now
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Lane, State
from kairan.sql import among, among_bound, is_sqlite, numbers
from mailer.compose.recipient import Recipient
from unsubscribe import allowed

_NOT_TRACKED = {"synchronize_session": False}


class LaneDead(Exception):
    """Somebody declared this lane dead: it stops at once and begins again as a new one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery to gate. `fence`: the attempt it holds already, when the time between gate and MAIL ran out; else None."""

    number: int
    member_id: int
    fence: int | None = None


@dataclass(slots=True)
class Gated(Recipient):
    """A delivery in state sending, with all that its mail needs, as it held under the member's lock."""

    fence: int
    tries: int
    format: str
    recording: str
    gated_at: float
    """CLOCK_BOOTTIME before the transaction began; MAIL not later than 0.8 s after it"""


class _Stored(Mapping[str, Any]):
    """Attributes as the database's JSON text, read when a mail asks for one: most ask for none, and reading costs 5 us."""

    __slots__ = ("_read", "_text")

    def __init__(self, text: str | None) -> None:
        self._text = text
        self._read: dict[str, Any] | None = None

    def _all(self) -> dict[str, Any]:
        if self._read is None:
            self._read = json.loads(self._text) if self._text else {}
        return self._read

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def gate(
    session: Session, *, lane_id: int, campaign_id: int, revision: int, candidates: Sequence[Candidate], started: float, now: datetime
) -> list[Gated]:
    """Moves those that may be mailed to sending and those that may not to suppressed. The caller commits.

    `started` is CLOCK_BOOTTIME, read before the transaction began. Raises LaneDead. An empty answer also says that the campaign
    is not sending, or that its revision is another by now.
    """
    heartbeat(session, lane_id)
    sqlite = is_sqlite(session)
    run = session.connection().execute
    statements = _statements(sqlite)
    if not sqlite:  # there the write transaction stands alone
        run(statements.lock, {"members": sorted({c.member_id for c in candidates})}).close()
    mine = {c.number: c.fence for c in candidates}
    given = {"campaign": campaign_id, "lane": lane_id, **allowed.values(now)}
    rows = run(statements.facts, {**given, "numbers": numbers(mine, sqlite=sqlite)}).all()
    facts = {row.number: row for row in rows if row.state != State.SENDING or row.fence == mine[row.number]}
    _stop(session, campaign_id, [row for row in facts.values() if row.reason is not None], lane_id, now)
    wanted = [number for number, row in facts.items() if row.reason is None]
    if not wanted:
        return []
    moved = run(statements.start, {**given, "revision": revision, "numbers": numbers(wanted, sqlite=sqlite)})
    return sorted((_gated(facts[number], fence, started) for number, fence in moved), key=lambda gated: gated.number)


def heartbeat(session: Session, lane_id: int) -> None:
    """Says that the lane lives, and keeps its recovery out until this transaction ends. Raises LaneDead."""
    alive = session.execute(
        update(Lane).where(Lane.id == lane_id, Lane.dead.is_(False)).values(heartbeat_at=database_now(session)).returning(Lane.id),
        execution_options=_NOT_TRACKED,
    ).one_or_none()
    if alive is None:
        raise LaneDead


@dataclass(frozen=True, slots=True)
class _Statements:
    lock: Any
    facts: Any
    start: Any


@cache
def _statements(sqlite: bool) -> _Statements:
    """Built once: making these expressions anew for each batch cost 30 us a delivery, more than the database did."""
    campaign, lane, moments = bindparam("campaign", type_=BigInteger), bindparam("lane", type_=BigInteger), allowed.bound()
    numbered = among_bound(Delivery.number, "numbers", sqlite=sqlite)
    ours = or_(
        and_(Delivery.state.in_([State.QUEUED, State.DEFERRED]), Delivery.due_at <= moments.now),
        and_(Delivery.state == State.SENDING, Delivery.lane_id == lane),
    )
    may_send = exists().where(
        Campaign.id == campaign, Campaign.status == CampaignStatus.SENDING, Campaign.revision == bindparam("revision", type_=BigInteger)
    )
    return _Statements(
        lock=select(Member.id).where(among_bound(Member.id, "members", sqlite=sqlite)).order_by(Member.id).with_for_update(key_share=True),
        facts=select(
            Delivery.number,
            Delivery.member_id,
            Delivery.state,
            Delivery.fence,
            Delivery.tries,
            Member.email,
            Member.first_name,
            Member.last_name,
            Member.locale,
            (type_coerce(Member.attributes, Text) if sqlite else cast(Member.attributes, Text)).label("attributes"),
            Member.format,
            Member.recording,
            allowed.reason_against(campaign, moments).label("reason"),
        )
        .outerjoin(Member, Member.id == Delivery.member_id)
        .where(Delivery.campaign_id == campaign, numbered, ours),
        # The campaign's state is asked in the same statement that moves the rows.
        start=update(Delivery)
        .where(Delivery.campaign_id == campaign, numbered, ours, may_send)
        .values(state=State.SENDING, fence=Delivery.fence + 1, lane_id=lane)
        .returning(Delivery.number, Delivery.fence),
    )


def _stop(session: Session, campaign_id: int, refused: Sequence[Any], lane_id: int, now: datetime) -> None:
    """Those a no of the member stops: suppressed, with the reason."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for row in refused:
        by_reason[row.reason].append(row.number)
    for reason, stopped in by_reason.items():
        session.execute(
            update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                among(session, Delivery.number, stopped),
                or_(
                    Delivery.state.in_([State.QUEUED, State.DEFERRED]),
                    and_(Delivery.state == State.SENDING, Delivery.lane_id == lane_id),
                ),
            )
            .values(state=State.SUPPRESSED, reason=reason, due_at=None, ended_at=now),
            execution_options=_NOT_TRACKED,
        )


def _gated(row: Any, fence: int, started: float) -> Gated:
    return Gated(
        row.number,
        row.member_id,
        row.email,
        row.first_name,
        row.last_name,
        row.locale,
        _Stored(row.attributes),
        fence,
        row.tries,
        row.format,
        row.recording,
        started,
    )

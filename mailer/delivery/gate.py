"""The gate: the one place where a delivery starts to be sent, and the last moment at which a no of the member counts.

One fsynced transaction for a micro-batch: my lane row (the recovery of a lane waits for it), the members' rows (every no of a member
locks them first), then what holds now, then the conditional UPDATE. Read after the locks are held, nothing that a member decides
can change before the commit. Model-checked: ../shared/prototypes/model (lane_lock, member_lock, two_statements, regate_lane).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, or_, select, update
from sqlalchemy.orm import Session

from kairan.clock import database_now
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Lane, State
from kairan.sql import among, locked
from unsubscribe.allowed import reason_against

_NOT_TRACKED = {"synchronize_session": False}


class LaneDead(Exception):
    """Somebody declared this lane dead: it stops at once and begins again as a new one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery to gate. `fence`: the attempt it holds already, when the time between gate and MAIL ran out; else None."""

    number: int
    member_id: int
    fence: int | None = None


@dataclass(frozen=True, slots=True)
class Gated:
    """A delivery in state sending, with all that its mail needs, as it held under the member's lock."""

    number: int
    member_id: int
    fence: int
    tries: int
    email: str
    first_name: str
    last_name: str
    locale: str
    attributes: Mapping[str, Any]
    format: str
    recording: str
    gated_at: float
    """CLOCK_BOOTTIME before the transaction began; MAIL not later than 0.8 s after it"""


def gate(
    session: Session, *, lane_id: int, campaign_id: int, revision: int, candidates: Sequence[Candidate], started: float, now: datetime
) -> list[Gated]:
    """Moves those that may be mailed to sending and those that may not to suppressed. The caller commits.

    `started` is CLOCK_BOOTTIME, read before the transaction began. Raises LaneDead. An empty answer also says that the campaign
    is not sending, or that its revision is another by now.
    """
    heartbeat(session, lane_id)
    session.execute(
        locked(
            select(Member.id).where(among(session, Member.id, sorted({c.member_id for c in candidates}))).order_by(Member.id),
            session,
            weak=True,
        )
    ).all()
    facts = _facts(session, campaign_id, lane_id, candidates, now)
    _stop(session, campaign_id, [row for row in facts if row.reason is not None], lane_id, now)
    wanted = {row.number: row for row in facts if row.reason is None}
    fences = _start(session, lane_id, campaign_id, revision, wanted, now)
    return [_gated(wanted[number], fence, started) for number, fence in sorted(fences.items())]


def heartbeat(session: Session, lane_id: int) -> None:
    """Says that the lane lives, and keeps its recovery out until this transaction ends. Raises LaneDead."""
    alive = session.execute(
        update(Lane).where(Lane.id == lane_id, Lane.dead.is_(False)).values(heartbeat_at=database_now(session)).returning(Lane.id),
        execution_options=_NOT_TRACKED,
    ).one_or_none()
    if alive is None:
        raise LaneDead


def _facts(session: Session, campaign_id: int, lane_id: int, candidates: Sequence[Candidate], now: datetime) -> list[Any]:
    """What holds now for each candidate that is still to be sent (or is mine and in hand)."""
    rows = session.execute(
        select(
            Delivery.number, Delivery.member_id, Delivery.state, Delivery.fence, Delivery.tries,
            Member.email, Member.first_name, Member.last_name, Member.locale, Member.attributes, Member.format, Member.recording,
            reason_against(campaign_id, now).label("reason"),
        )
        .outerjoin(Member, Member.id == Delivery.member_id)
        .where(
            Delivery.campaign_id == campaign_id,
            among(session, Delivery.number, [c.number for c in candidates]),
            or_(
                and_(Delivery.state.in_([State.QUEUED, State.DEFERRED]), Delivery.due_at <= now),
                and_(Delivery.state == State.SENDING, Delivery.lane_id == lane_id),
            ),
        )
    ).all()  # fmt: skip
    mine = {c.number: c.fence for c in candidates}
    return [row for row in rows if row.state != State.SENDING or row.fence == mine[row.number]]


def _start(session: Session, lane_id: int, campaign_id: int, revision: int, wanted: Mapping[int, Any], now: datetime) -> dict[int, int]:
    """number → fence of those that are sending now. The campaign's state is asked in the same statement."""
    if not wanted:
        return {}
    may_send = exists().where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING, Campaign.revision == revision)
    rows = session.execute(
        update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            among(session, Delivery.number, wanted),
            or_(
                and_(Delivery.state.in_([State.QUEUED, State.DEFERRED]), Delivery.due_at <= now),
                and_(Delivery.state == State.SENDING, Delivery.lane_id == lane_id),
            ),
            may_send,
        )
        .values(state=State.SENDING, fence=Delivery.fence + 1, lane_id=lane_id)
        .returning(Delivery.number, Delivery.fence),
        execution_options=_NOT_TRACKED,
    )
    return {number: fence for number, fence in rows}


def _stop(session: Session, campaign_id: int, refused: Sequence[Any], lane_id: int, now: datetime) -> None:
    """Those a no of the member stops: suppressed, with the reason."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for row in refused:
        by_reason[row.reason].append(row.number)
    for reason, numbers in by_reason.items():
        session.execute(
            update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                among(session, Delivery.number, numbers),
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
        number=row.number,
        member_id=row.member_id,
        fence=fence,
        tries=row.tries,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        locale=row.locale,
        attributes=row.attributes or {},
        format=row.format,
        recording=row.recording,
        gated_at=started,
    )

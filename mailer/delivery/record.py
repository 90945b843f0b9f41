"""What became of the attempts, written in bulk: the end of an attempt's life, after which its journal records may go.

Grouped by outcome and fence, `number = ANY(…)` and state in (sending, uncertain): a bare join with unnest took up to 17 ms a row
while the planner's statistics were stale (BENCHMARKS.md 8). Written twice it changes nothing: (lane, fence) names the attempt.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery, State
from kairan.models.suppression import SuppressionReason
from kairan.sql import among
from mailer.delivery import chunks, outcomes
from mailer.delivery.outcomes import Outcome
from unsubscribe import suppression

REPLY_MAX = 500


@dataclass(slots=True)
class Result:
    """One attempt and what it came to. Not frozen: made once a mail."""

    number: int
    member_id: int
    fence: int
    tries: int
    outcome: Outcome


def record(
    session: Session, campaign_id: int, lane_id: int, results: Iterable[Result], now: datetime, provider_id: int | None = None
) -> None:
    """Moves the deliveries of these attempts. Rows that recovery or another attempt has moved since are left alone."""
    accepted: dict[int, list[int]] = defaultdict(list)
    released: dict[int, list[int]] = defaultdict(list)
    rest: list[Result] = []
    for result in results:
        if result.outcome is outcomes.ACCEPTED_250:
            accepted[result.fence].append(result.number)
        elif result.outcome is outcomes.RELEASED:
            released[result.fence].append(result.number)
        else:
            rest.append(result)
    ended = {"state": State.ACCEPTED, "code": 250, "ended_at": now, "provider_id": provider_id, "due_at": None}
    for fence, numbers in accepted.items():
        _move(session, campaign_id, lane_id, fence, numbers, **ended)
    for fence, numbers in released.items():  # not begun: tries and the last reply of an attempt before stay
        _move(session, campaign_id, lane_id, fence, numbers, state=State.QUEUED, due_at=now)
        chunks.make_due(session, campaign_id, numbers, now)
    for result in sorted(rest, key=lambda result: result.number):
        _record_one(session, campaign_id, lane_id, result, now, provider_id)


def _record_one(session: Session, campaign_id: int, lane_id: int, result: Result, now: datetime, provider_id: int | None) -> None:
    outcome = result.outcome
    values: dict[str, Any] = {
        "state": outcome.state,
        "code": outcome.code,
        "reply": (outcome.text or None) and str(outcome.text)[:REPLY_MAX],
        "reason": outcome.reason,
        "provider_id": provider_id,
    }
    if outcome.state in (State.DEFERRED, State.QUEUED):
        values |= _again(session, campaign_id, result, now)
    else:
        values |= {"ended_at": now, "due_at": None}
    moved = _move(session, campaign_id, lane_id, result.fence, [result.number], **values)
    if moved and values.get("due_at"):
        chunks.make_due(session, campaign_id, [result.number], values["due_at"])
    if moved and outcome.is_bad_address:
        suppression.suppress(
            session, result.member_id, SuppressionReason.BOUNCED, campaign_id=campaign_id, note=outcome.enhanced or "", now=now
        )


def _again(session: Session, campaign_id: int, result: Result, now: datetime) -> dict[str, Any]:
    """When it is tried again. Expired is what was refused 15 times, which takes 48 hours, and no sooner than 48 hours after the start:
    a campaign with a send window may be older than that when it first tries. From then on a connection that is lost counts as well, or
    a server that always hangs up would be asked for ever."""
    outcome = result.outcome
    started = session.execute(select(Campaign.started_at).where(Campaign.id == campaign_id)).scalar_one_or_none()
    late = started is not None and now - started > outcomes.EXPIRES_AFTER
    counts = outcome.counts or late
    tries = result.tries + (1 if counts else 0)
    if late and counts and tries >= outcomes.TRIES_MAX:
        return {"state": State.EXPIRED, "reason": "expired", "tries": tries, "ended_at": now, "due_at": None}
    return {"due_at": outcomes.due_again(outcome, max(tries, 1), now), "tries": tries}


def _move(session: Session, campaign_id: int, lane_id: int, fence: int, numbers: list[int], **values: Any) -> int:
    """How many rows were this attempt's and still open."""
    found = session.execute(
        update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            among(session, Delivery.number, numbers),
            Delivery.lane_id == lane_id,
            Delivery.fence == fence,
            Delivery.state.in_([State.SENDING, State.UNCERTAIN]),
        )
        .values(**values),
        execution_options={"synchronize_session": False},
    )
    return int(found.rowcount)  # type: ignore[attr-defined]

"""A campaign's figures, people and machines apart: from hourly roll-ups and the states of its deliveries, never from single events.

Definitions. `people` and `machines` count fetches; `unique` counts deliveries whose member opened (or clicked any link) at least once.
A person "opened or previewed": a beacon cannot tell which. Members recorded in the aggregate are in `people`, never in `unique`.
`accepted` means that the receiving server took the mail; `bounced` are those whose address was refused for good and suppressed.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.models.events import EventKind, Rollup
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.reports.state_counts import state_counts

_NAMES = {EventKind.OPEN: "opens", EventKind.CLICK: "clicks"}


def report(session: Session, campaign_id: int, left: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The answer of `GET /campaigns/{id}/report` (PRODUCT.md). `left`: what `leavers` gave, where that was asked already."""
    states = state_counts(session, campaign_id)
    left = leavers(session, campaign_id) if left is None else left
    hours = by_hour(session, campaign_id)
    return {
        "audience": sum(states.values()),
        "accepted": states["accepted"],
        "rejected": states["rejected"],
        "bounced": left[SuppressionReason.BOUNCED],
        "unsubscribed": left[SuppressionReason.UNSUBSCRIBED],
        "complained": left[SuppressionReason.COMPLAINT],
        **{name: {key: sum(hour[name][key] for hour in hours) for key in ("people", "machines", "unique")} for name in _NAMES.values()},
        "by_hour": hours,
    }


def leavers(session: Session, campaign_id: int) -> dict[str, int]:
    """Suppressions that came of this campaign's mail, by reason; every reason is there."""
    rows = session.execute(
        select(Suppression.reason, func.count()).where(Suppression.campaign_id == campaign_id).group_by(Suppression.reason)
    )
    found = {reason: count for reason, count in rows}
    return {reason: found.get(reason, 0) for reason in SuppressionReason}


def by_hour(session: Session, campaign_id: int) -> list[dict[str, Any]]:
    """The hours in which something was fetched, in order. `unique` are firsts, so they add up over the hours."""
    rows = session.execute(
        select(
            Rollup.hour,
            Rollup.kind,
            func.sum(Rollup.people),
            func.sum(Rollup.machines),
            func.sum(Rollup.unique),
            func.sum(Rollup.unique_any),
        )
        .where(Rollup.campaign_id == campaign_id)
        .group_by(Rollup.hour, Rollup.kind)
        .order_by(Rollup.hour)
    )
    hours: defaultdict[Any, dict[str, dict[str, int]]] = defaultdict(_nothing)
    for hour, kind, people, machines, unique, unique_any in rows:
        unique = unique_any if kind == EventKind.CLICK else unique
        hours[hour][_NAMES[EventKind(kind)]] = {"people": int(people), "machines": int(machines), "unique": int(unique)}
    return [{"hour": hour, **found} for hour, found in hours.items()]


def fetches(session: Session, campaign_id: int) -> int:
    """Rows that the campaign's events have, as the hours tell: people's and machines', without those recorded in the aggregate."""
    query = select(func.coalesce(func.sum(Rollup.people + Rollup.machines - Rollup.anonymous), 0)).where(Rollup.campaign_id == campaign_id)
    return int(session.execute(query).scalar_one())


def _nothing() -> dict[str, dict[str, int]]:
    return {name: {"people": 0, "machines": 0, "unique": 0} for name in _NAMES.values()}

"""How many deliveries of a campaign stand in each state; kept for a second, since every open progress page asks for the same."""

import threading
import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.models.deliveries import Delivery, State

KEPT_S = 1.0
_KEPT_MAX = 500

_kept: dict[tuple[str, int], tuple[float, dict[str, int]]] = {}
_lock = threading.Lock()


def state_counts(session: Session, campaign_id: int) -> dict[str, int]:
    """Every state by name, in the order of its life; up to a second old. Their sum is the audience."""
    key = str(session.get_bind().engine.url), campaign_id
    held = _kept.get(key)
    if held is None or time.monotonic() - held[0] > KEPT_S:
        held = time.monotonic(), fresh(session, campaign_id)
        with _lock:
            if len(_kept) > _KEPT_MAX:
                _kept.clear()
            _kept[key] = held
    return dict(held[1])


def fresh(session: Session, campaign_id: int) -> dict[str, int]:
    rows = session.execute(select(Delivery.state, func.count()).where(Delivery.campaign_id == campaign_id).group_by(Delivery.state))
    found = {state: count for state, count in rows}
    return {state.name.lower(): found.get(state, 0) for state in State}

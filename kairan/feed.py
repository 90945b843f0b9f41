"""What programs of others may want to be told, written in the transaction of what happened; nothing is written while nobody listens."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from kairan.models.webhooks import FeedEntry, Webhook

EVENTS = frozenset({"open", "click"})
NOES = frozenset({"unsubscribe", "bounce", "complaint"})


def is_wanted(session: Session) -> bool:
    """Whether any webhook is on."""
    return bool(session.execute(select(exists().where(Webhook.enabled.is_(True)))).scalar_one())


def put(
    session: Session, kind: str, at: datetime, *, member_id: int | None, campaign_id: int | None, detail: Mapping[str, Any] | None = None
) -> None:
    """One entry, if any webhook is on. Which of them wants its kind is looked at when it is made into posts."""
    if is_wanted(session):
        session.add(FeedEntry(kind=kind, at=at, campaign_id=campaign_id or None, member_id=member_id, detail=dict(detail or {})))

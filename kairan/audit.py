"""Who did what, appended in the transaction of the act itself; a job seals the rows into the hash chain later."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from kairan.models.audit import AuditRow


def note(session: Session, actor: str, action: str, object_id: int | None, detail: dict[str, Any], now: datetime) -> None:
    """`actor`: account:3, token:2, member or system. Ids only: nothing personal may stand in `detail`."""
    session.add(AuditRow(happened_at=now, actor=actor, action=action, object_id=object_id, detail=detail))
    session.flush()

"""Settings that people make in the UI or API, kept as rows: read by name, written whole."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.installation import Setting
from kairan.sql import insert

DEFAULTS: dict[str, Any] = {
    "organisation": {"name": "", "address": "", "contact": ""},
    "legal_profile": "jp",
    "language": "en",
    "time_zone": "Asia/Tokyo",
    "one_click_scope": "all",
    "sender": {"name": "", "email": ""},
    "brand": {},
    "approval_above": None,
    "archive_noindex": False,
}
"""what holds until somebody sets it; also the list of names there are"""


def get(session: Session, name: str) -> Any:
    found = session.execute(select(Setting.value).where(Setting.name == name)).scalar_one_or_none()
    return DEFAULTS[name] if found is None else found


def everything(session: Session) -> dict[str, Any]:
    stored = {row.name: row.value for row in session.execute(select(Setting)).scalars()}
    return {name: stored.get(name, default) for name, default in DEFAULTS.items()}


def put(session: Session, name: str, value: Any, *, now: datetime) -> None:
    """Raises KeyError for a name there is not."""
    if name not in DEFAULTS:
        raise KeyError(name)
    session.execute(
        insert(session, Setting)
        .values(name=name, value=value, updated_at=now)
        .on_conflict_do_update(index_elements=[Setting.name], set_={"value": value, "updated_at": now})
    )

"""What a member may choose about the mail they get, and what of it is on their row."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from kairan import installation
from kairan.i18n import best_language
from kairan.models.audience import Format, Member, Recording

FORMATS = tuple(Format)
RECORDINGS = tuple(Recording)
PAUSE_DAYS = {"pause30": 30, "pause60": 60, "pause90": 90}
RHYTHMS = ("each", "weekly", "monthly")
FREQUENCIES = (*RHYTHMS, *PAUSE_DAYS)
LANGUAGES = ("ja", "en")


class NotPossible(ValueError):
    """A choice that is not offered; nothing was changed. `possible` says what is."""

    def __init__(self, field: str, possible: Collection[str]) -> None:
        super().__init__(f"{field}: one of {', '.join(possible)}")
        self.field = field
        self.possible = tuple(possible)


def check(field: str, value: str | None, possible: Collection[str]) -> None:
    if value is not None and value not in possible:
        raise NotPossible(field, possible)


def set_fields(
    session: Session,
    member: Member,
    now: datetime,
    *,
    format: str | None,
    recording: str | None,
    frequency: str | None,
    language: str | None,
) -> dict[str, list[Any]]:
    """Puts the choices on the member's row; field → [before, after] of what changed."""
    before = _as_shown(session, member)
    member.format, member.recording = format or member.format, recording or member.recording
    if frequency in PAUSE_DAYS:
        member.paused_until = now + timedelta(days=PAUSE_DAYS[frequency])
    elif frequency is not None:
        member.frequency, member.paused_until = frequency, None
    if language is not None and language != before["language"]:
        member.locale = language
    after = _as_shown(session, member)
    return {name: [before[name], after[name]] for name in before if before[name] != after[name]}


def _as_shown(session: Session, member: Member) -> dict[str, str | None]:
    return {
        "format": str(member.format),
        "recording": str(member.recording),
        "frequency": member.frequency,
        "paused_until": member.paused_until.isoformat() if member.paused_until else None,
        "language": spoken(session, member),
    }


def spoken(session: Session, member: Member) -> str:
    """`ja` or `en`: the member's language, else the installation's."""
    return best_language(member.locale or installation.get(session, "language"))

"""After a no: why the member left, asked then and never before, and for how long the same page takes it back."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext
from kairan.models.audience import Member
from kairan.models.consent import ConsentAct, ConsentRow, LeaveReason
from kairan.models.suppression import SuppressionReason
from kairan.sql import insert
from unsubscribe import ledger, suppression, topics

REASONS = {
    "too_many": lazy_gettext("Too many mails"),
    "not_for_me": lazy_gettext("What they are about does not interest me"),
    "never_asked": lazy_gettext("I never asked for them"),
    "elsewhere": lazy_gettext("I get them at another address"),
    "other": lazy_gettext("Another reason"),
}
WORDS_MAX = 500
UNDO = timedelta(hours=1)
"""afterwards the preference page lets a member in again: a link in a forwarded mail must not do it with one tap for ever"""


class NotTold(ValueError):
    """What was posted says nothing, or too much; the message is for the member."""


def has_left(session: Session, member: Member) -> bool:
    """The member's own no to all mail holds."""
    own = suppression.reason_of(session, member.address_key) == SuppressionReason.UNSUBSCRIBED
    return own or ledger.has_left(session, member.address_key)


def last_no(session: Session, member: Member, campaign_id: int | None) -> ConsentRow | None:
    """The no that the page of this mail is about, while it holds: the member's own to all mail, else to the topics of the campaign."""
    query = select(ConsentRow).where(ConsentRow.member_id == member.id, ConsentRow.source.in_(ledger.OWN_DOORS))
    if has_left(session, member):
        query = query.where(ConsentRow.act == ConsentAct.LEAVE_ALL)
    else:
        query = query.where(ConsentRow.id.in_([row.id for row in topics.ended_through(session, member.id, campaign_id)]))
    return session.execute(query.order_by(ConsentRow.id.desc()).limit(1)).scalar_one_or_none()


def is_late(no: ConsentRow, now: datetime) -> bool:
    """The hour in which the page takes it back is over."""
    return now - no.recorded_at > UNDO


def checked(reason: str, words: str) -> tuple[str, str]:
    """(reason, words) as they are kept. Raises NotTold."""
    words = "".join(letter for letter in words.replace("\r\n", "\n") if letter.isprintable() or letter == "\n").strip()
    if len(words) > WORDS_MAX:
        raise NotTold(_("At most %(count)s characters, please.", count=WORDS_MAX))
    if reason not in REASONS and not words:
        raise NotTold(_("Choose a reason, or write it in your own words."))
    return reason if reason in REASONS else "other", words


def tell(session: Session, no: ConsentRow, reason: str, words: str, *, now: datetime) -> None:
    """Keeps what `checked` gave beside the no itself; told again, it replaces what was told before."""
    values: Mapping[str, Any] = {"reason": reason, "words": words, "told_at": now}
    session.execute(
        insert(session, LeaveReason)
        .values(consent_id=no.id, member_id=no.member_id, campaign_id=no.campaign_id, **values)
        .on_conflict_do_update(index_elements=[LeaveReason.consent_id], set_=values)
    )


def is_told(session: Session, no: ConsentRow) -> bool:
    return session.get(LeaveReason, no.id) is not None


def counts(session: Session, campaign_id: int) -> dict[str, int]:
    """reason → how many told it through this campaign's mail, the most frequent first. Also of those who came back."""
    number = func.count().label("number")
    query = select(LeaveReason.reason, number).where(LeaveReason.campaign_id == campaign_id).group_by(LeaveReason.reason)
    return {reason: count for reason, count in session.execute(query.order_by(number.desc(), LeaveReason.reason))}


def words(session: Session, campaign_id: int, limit: int = 20) -> list[str]:
    """The newest of what was written, without a name."""
    query = select(LeaveReason.words).where(LeaveReason.campaign_id == campaign_id, LeaveReason.words != "")
    return list(session.execute(query.order_by(LeaveReason.told_at.desc(), LeaveReason.consent_id.desc()).limit(limit)).scalars())


def forget(session: Session, member_id: int) -> None:
    """Of a member whose data are erased only the count of the reason stays."""
    session.execute(update(LeaveReason).where(LeaveReason.member_id == member_id).values(member_id=None, words=""))

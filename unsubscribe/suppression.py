"""The suppression list: addresses that get no mail. Only this package writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.consent import ConsentAct, ConsentRow, ConsentSource
from kairan.models.suppression import Suppression, SuppressionReason
from kairan.sql import insert, locked
from unsubscribe import domains, ledger

STRENGTH = {
    SuppressionReason.UNSUBSCRIBED: 1,
    SuppressionReason.BOUNCED: 2,
    SuppressionReason.STAFF: 3,
    SuppressionReason.COMPLAINT: 4,
    SuppressionReason.ERASED: 5,
}
"""a stronger reason replaces a weaker one: a member's undo takes back their own no, never a complaint or a bounce"""
PAGE_MAX = 1_000
_OF_REASON = {
    SuppressionReason.BOUNCED: ConsentSource.BOUNCE,
    SuppressionReason.COMPLAINT: ConsentSource.COMPLAINT,
    SuppressionReason.STAFF: ConsentSource.STAFF,
}
"""the door that a reason comes through, unless it is said"""


class OwnActMissing(ValueError):
    """A complaint is taken off only after the member has asked for mail again by their own act."""


class Erased(ValueError):
    """The person of this address had their data erased. Only they themselves can come back."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list. The address is known only while a member has it."""

    address_key: bytes
    reason: str
    note: str
    source: str
    actor: str
    created_at: datetime
    campaign_id: int | None
    member_id: int | None
    email: str | None

    @property
    def id(self) -> str:
        """How the API names it."""
        return self.address_key.hex()


def suppress(
    session: Session,
    member_id: int,
    reason: SuppressionReason,
    *,
    now: datetime,
    campaign_id: int | None = None,
    note: str = "",
    source: ConsentSource | None = None,
    actor: str = "",
) -> bool:
    """Suppresses the member's address; locks the member row first, so no gate passes it unseen. False: it already was, as strongly.

    A stronger reason stays: a complaint is not softened into an unsubscribe.
    """
    try:
        member = ledger.hold(session, member_id)
    except ledger.UnknownMember:
        return False
    source = source or _OF_REASON.get(reason)
    how: dict[str, Any] = {"now": now, "campaign_id": campaign_id, "note": note, "source": source, "actor": actor}
    if not suppress_address(session, member.address_key, reason, member_id=member_id, **how):
        return False
    if source:
        ledger.write(session, member, ConsentAct.SUPPRESS, source, campaign_id=campaign_id, detail={"reason": str(reason)}, now=now)
    return True


def suppress_address(
    session: Session,
    address_key: bytes,
    reason: SuppressionReason,
    *,
    now: datetime,
    member_id: int | None = None,
    campaign_id: int | None = None,
    note: str = "",
    source: ConsentSource | None = None,
    actor: str = "",
) -> bool:
    door = source or _OF_REASON.get(reason) or ""
    values = {
        "reason": reason,
        "note": note,
        "member_id": member_id,
        "campaign_id": campaign_id or None,
        "created_at": now,
        "source": door,
        "actor": actor,
    }
    strength = case(*((Suppression.reason == name, number) for name, number in STRENGTH.items()), else_=0)
    written = session.execute(
        insert(session, Suppression)
        .values(address_key=address_key, **values)
        .on_conflict_do_update(index_elements=[Suppression.address_key], set_=values, where=strength < STRENGTH[reason])
        .returning(Suppression.address_key)
    ).one_or_none()
    return written is not None


def reason_of(session: Session, address_key: bytes) -> SuppressionReason | None:
    found = session.execute(select(Suppression.reason).where(Suppression.address_key == address_key)).scalar_one_or_none()
    return SuppressionReason(found) if found else None


def reasons(session: Session, member_ids: Sequence[int]) -> dict[int, str]:
    """member → why they get no mail, of those who get none: a SuppressionReason, or `domain`."""
    own = select(Suppression.reason).where(Suppression.address_key == Member.address_key).correlate(Member).scalar_subquery()
    why = case((own.is_not(None), own), (domains.suppressed(), domains.REASON), else_=None).label("why")
    rows = session.execute(select(Member.id, why).where(Member.id.in_(member_ids)))
    return {member_id: reason for member_id, reason in rows if reason is not None}


def has_asked_again(session: Session, entry: Suppression) -> bool:
    """The member has asked for mail by their own act since they complained."""
    own = select(ConsentRow.id).where(
        ConsentRow.address_key == entry.address_key,
        ConsentRow.act.in_([ConsentAct.RETURN, ConsentAct.OPT_IN]),
        ConsentRow.source.in_([*ledger.OWN_DOORS, ConsentSource.FORM]),
        ConsentRow.recorded_at >= entry.created_at,
    )
    return session.execute(select(own.exists())).scalar_one()


def release(session: Session, address_key: bytes, *, now: datetime, note: str = "") -> bool:
    """Takes an address off the list; who may do so is the caller's to check and to write into the audit log. False: it was not on it.

    Below a bounce, complaint or staff's entry the member's own no may still stand; then the address stays, as unsubscribed. A second
    release, of that no itself, is for a member who asked staff to be let in again. Raises OwnActMissing, Erased.
    """
    member = session.execute(locked(select(Member).where(Member.address_key == address_key), session)).scalar_one_or_none()
    entry = session.get(Suppression, address_key, populate_existing=True)
    if entry is None:
        return False
    if entry.reason == SuppressionReason.ERASED:
        raise Erased
    if entry.reason == SuppressionReason.COMPLAINT and not has_asked_again(session, entry):
        raise OwnActMissing
    own_no = entry.reason != SuppressionReason.UNSUBSCRIBED and ledger.has_left(session, address_key)
    before = entry.reason
    if own_no:
        entry.reason, entry.note, entry.campaign_id, entry.created_at = SuppressionReason.UNSUBSCRIBED, "", None, now
        entry.source, entry.actor = "", "member"
    else:
        session.delete(entry)
    session.flush()
    if member is not None and not own_no:
        ledger.write(session, member, ConsentAct.RELEASE, ConsentSource.STAFF, detail={"reason": str(before), "note": note}, now=now)
    return True


def page(
    session: Session, *, after: bytes = b"", limit: int = 100, reason: str | None = None, address_key: bytes | None = None
) -> tuple[list[Entry], bytes | None]:
    """(entries by key, the key to go on after or None)."""
    limit = min(limit, PAGE_MAX)
    query = (
        select(Suppression, Member.id, Member.email)
        .outerjoin(Member, Member.address_key == Suppression.address_key)
        .where(Suppression.address_key > after)
        .order_by(Suppression.address_key)
        .limit(limit + 1)
    )
    if reason:
        query = query.where(Suppression.reason == reason)
    if address_key is not None:
        query = query.where(Suppression.address_key == address_key)
    rows = [
        Entry(bytes(row.address_key), row.reason, row.note, row.source, row.actor, row.created_at, row.campaign_id, member_id, email)
        for row, member_id, email in session.execute(query)
    ]
    return rows[:limit], rows[limit - 1].address_key if len(rows) > limit else None

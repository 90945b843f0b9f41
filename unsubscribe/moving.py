"""A member's address: changed by staff or a program, or asked for by the member and proved by a mail to the new address.

Tokens in mails name the member and not the address, so links in old mails go on working after a move.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.models.audience import AddressChange, Member
from kairan.models.consent import ConsentAct, ConsentSource
from kairan.models.suppression import Suppression, SuppressionReason
from kairan.secrets import Secrets
from unsubscribe import domains, ledger, suppression
from unsubscribe.ledger import NO_EVIDENCE, Evidence

LINK_FOR = timedelta(hours=24)
KEPT_FOR = timedelta(days=7)
"""a request that nobody confirmed"""
ASKED_MAX = 5
"""requests of one member in 24 hours"""
MAILS_MAX = 3
"""mails to one address in 24 hours, whoever asks for them"""
_CARRIED = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.COMPLAINT, SuppressionReason.STAFF)


class AddressErased(ValueError):
    """The person of this address had their data erased; only they themselves can come back."""


class AddressTaken(ValueError):
    """Another member has this address."""


class AskedTooOften(ValueError):
    """This member has asked ASKED_MAX times within a day."""


@dataclass(frozen=True, slots=True)
class Moved:
    """`before` is the address that mail went to until now; None: nobody is to be told there (it bounces, or complained)."""

    email: str
    before: str | None


def move(
    session: Session, member: Member, email: str, key: bytes, *, source: ConsentSource, now: datetime, evidence: Evidence = NO_EVIDENCE
) -> None:
    """Gives a member whose row is held a new address, and keeps that it was another before.

    A no goes along: it was the person who said it, not the mailbox. What is suppressed for the old address stays so for it. Raises
    AddressErased, AddressTaken.
    """
    before, written = member.address_key, member.email
    _change(session, member, email, key, source=source, now=now, evidence=evidence)
    if key != before:
        history = AddressChange(member_id=member.id, before=written, before_key=before, email=member.email, address_key=key)
        history.asked_at = history.confirmed_at = now
        session.add(history)
        session.flush()


def _change(session: Session, member: Member, email: str, key: bytes, *, source: ConsentSource, now: datetime, evidence: Evidence) -> None:
    before = member.address_key
    if suppression.reason_of(session, key) == SuppressionReason.ERASED:
        raise AddressErased
    entry, has_left = session.get(Suppression, before), ledger.has_left(session, before)
    try:
        with session.begin_nested():
            member.email, member.address_key = addresses.kept(email), key
            session.flush()
    except IntegrityError as error:
        raise AddressTaken from error
    if key == before:
        return
    member.updated_at = now
    if entry is not None and entry.reason in _CARRIED:
        how: dict[str, Any] = {"source": ConsentSource(entry.source) if entry.source else None, "actor": entry.actor, "note": entry.note}
        suppression.suppress_address(session, key, SuppressionReason(entry.reason), member_id=member.id, now=now, **how)
    ledger.write(session, member, ConsentAct.ADDRESS, source, evidence=evidence, now=now)
    if has_left and not ledger.has_left(session, key):
        ledger.write(session, member, ConsentAct.LEAVE_ALL, ConsentSource.STAFF, detail={"carried": True}, now=now)


# ---- by the member


def ask(session: Session, keys: Secrets, member_id: int, email: str, *, now: datetime) -> AddressChange | None:
    """Notes that a member wants mail at another address; the request whose link is to be mailed there, None if none may be.

    Nobody is told which: an answer would say who is a member. Raises AddressError, AskedTooOften, UnknownMember.
    """
    key = keys.address_key(addresses.normal(email))
    member = ledger.hold(session, member_id)
    if _count(session, now, member_id=member_id) >= ASKED_MAX:
        raise AskedTooOften
    may_mail = is_free(session, key) and not domains.holds(session, email) and _count(session, now, address_key=key) < MAILS_MAX
    # Of an address that is not free only the key is kept: it may be that of somebody whose data were erased.
    request = AddressChange(member_id=member_id, before=member.email, before_key=member.address_key, email=email.strip(), address_key=key)
    request.asked_at, request.email = now, request.email if may_mail else ""
    session.add(request)
    session.flush()
    return request if may_mail else None


def _count(session: Session, now: datetime, **of: object) -> int:
    query = select(func.count()).select_from(AddressChange).filter_by(**of).where(AddressChange.asked_at > now - timedelta(days=1))
    return session.execute(query).scalar_one()


def is_free(session: Session, key: bytes) -> bool:
    """Nobody has the address, and nothing forbids mail to it."""
    taken, refused = exists().where(Member.address_key == key), exists().where(Suppression.address_key == key)
    return not session.execute(select(taken | refused)).scalar_one()


def is_open(request: AddressChange | None, now: datetime) -> bool:
    """Its link still works: it was not used, and a day has not passed."""
    return request is not None and request.email != "" and request.confirmed_at is None and now - request.asked_at <= LINK_FOR


def confirm(session: Session, change_id: int, *, now: datetime, evidence: Evidence = NO_EVIDENCE) -> Moved | None:
    """Whoever has the mail to the new address says yes. None: the link was used, is too old, or its address is free no more.

    Raises UnknownMember.
    """
    request = session.get_one(AddressChange, change_id)
    member = ledger.hold(session, request.member_id)
    session.refresh(request)  # as it is under the member's lock: of two clicks one is the first
    if not is_open(request, now) or request.before_key != member.address_key or not is_free(session, request.address_key):
        return None
    before, reason = member.email, suppression.reason_of(session, member.address_key)
    try:
        _change(session, member, request.email, request.address_key, source=ConsentSource.PAGE, now=now, evidence=evidence)
    except (AddressTaken, AddressErased):
        return None
    request.before, request.confirmed_at = before, now
    session.flush()
    is_told = reason not in (SuppressionReason.BOUNCED, SuppressionReason.COMPLAINT)
    return Moved(member.email, before if is_told else None)


# ---- what is kept


def earlier(session: Session, member_id: int) -> list[AddressChange]:
    """The moves of a member, newest first."""
    query = select(AddressChange).where(AddressChange.member_id == member_id, AddressChange.confirmed_at.is_not(None))
    return list(session.execute(query.order_by(AddressChange.id.desc())).scalars())


def written(session: Session, member_id: int) -> set[str]:
    """Every address but today's that is kept of a member: had before, or asked for."""
    rows = session.execute(select(AddressChange.before, AddressChange.email).where(AddressChange.member_id == member_id))
    return {email for row in rows for email in row if email}


def forget_unconfirmed(session: Session, now: datetime) -> None:
    session.execute(delete(AddressChange).where(AddressChange.confirmed_at.is_(None), AddressChange.asked_at < now - KEPT_FOR))


def forget(session: Session, member: Member) -> None:
    """For an erasure: also where others once had the address, or asked for it."""
    session.execute(delete(AddressChange).where(AddressChange.member_id == member.id))
    session.execute(update(AddressChange).where(AddressChange.address_key == member.address_key).values(email=""))
    session.execute(update(AddressChange).where(AddressChange.before_key == member.address_key).values(before=""))

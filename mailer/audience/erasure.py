"""Erasure (消去): every place where a member's data lies, emptied in one transaction. The address key stays: no file brings it back."""

from datetime import datetime

from sqlalchemy import LargeBinary, delete, func, literal, select, update
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.models.consent import ConsentSource
from kairan.models.deliveries import Delivery
from kairan.models.jobs import JobFile
from kairan.models.outbox import OutboxMail
from kairan.models.suppression import Suppression
from kairan.models.webhooks import FeedEntry, MemberVisit, WebhookPost
from kairan.sql import is_sqlite
from mailer.audience import csv_import, segments
from tracking import erasure as tracked
from unsubscribe import consent, ledger, moving


def erase(session: Session, member_id: int, *, now: datetime, source: ConsentSource = ConsentSource.STAFF) -> None:
    """What stays: how many mails there were and that one went to a number; the ledger of consent, under the keyed hash.

    The caller commits and waits (unsubscribe.waiting). Raises UnknownMember.
    """
    member = ledger.hold(session, member_id)
    known = {member.email, *moving.written(session, member_id)}
    written = {form for email in known for form in (email, addresses.as_mailbox(email), addresses.normal(email))}
    _forget_replies(session, member_id)
    session.execute(delete(OutboxMail).where(func.lower(OutboxMail.recipient).in_({address.lower() for address in written})))
    for address in written:
        _forget_refused_rows(session, address)
    for table in (FeedEntry, WebhookPost, MemberVisit):
        session.execute(delete(table).where(table.member_id == member_id))
    segments.forget(session, written)
    tracked.forget(session, member_id, now)
    consent.erase(session, member_id, source=source, now=now)
    session.execute(update(Suppression).where(Suppression.member_id == member_id).values(member_id=None, note=""))


def _forget_replies(session: Session, member_id: int) -> None:
    """Mail servers like to repeat the address in their answers."""
    session.execute(update(Delivery).where(Delivery.member_id == member_id, Delivery.reply.is_not(None)).values(reply=None))


def _forget_refused_rows(session: Session, address: str) -> None:
    """In the files of refused rows, where an earlier import had this address wrong or erased."""
    sought = address.encode()
    if is_sqlite(session):
        holds = func.instr(JobFile.data, sought) > 0
    else:
        escaped = sought.replace(b"\\", rb"\\").replace(b"%", rb"\%").replace(b"_", rb"\_")
        holds = JobFile.data.op("LIKE")(literal(b"%" + escaped + b"%", LargeBinary))
    for piece in session.execute(select(JobFile).where(JobFile.name == csv_import.REJECTED, holds)).scalars():
        piece.data = piece.data.replace(sought, b"-")
    session.flush()

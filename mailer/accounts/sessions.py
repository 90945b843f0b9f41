"""Signed-in browsers: a 256-bit id in the cookie, its SHA-256 in the table, over after 8 idle hours or 24 hours in all."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from kairan.models.accounts import Account
from kairan.models.accounts import Session as Row

IDLE = timedelta(hours=8)
ABSOLUTE = timedelta(hours=24)
SEEN_EVERY = timedelta(minutes=1)
"""`seen_at` is written this often at most: a page must not cost a write transaction"""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, for the length of one request."""

    id: int
    email: str
    name: str
    role: str
    language: str
    theme: str
    time_zone: str
    csrf: str
    seen_at: datetime


def sign_in(session: Session, account: Account, now: datetime) -> str:
    """A new session; returns the cookie's value. The id is always new, so one planted before sign-in is worth nothing."""
    cookie = secrets.token_urlsafe(32)
    account.signed_in_at = now
    session.add(
        Row(id_hash=_hash(cookie), account_id=account.id, epoch=account.epoch, csrf=secrets.token_urlsafe(32), created_at=now, seen_at=now)
    )
    session.execute(delete(Row).where(Row.created_at < now - ABSOLUTE))
    return cookie


def resume(session: Session, cookie: str, now: datetime) -> Person | None:
    """Who this cookie belongs to; None where the session is over or the account changed its password or role since."""
    query = (
        select(Row, Account)
        .join(Account, Account.id == Row.account_id)
        .where(
            Row.id_hash == _hash(cookie),
            Row.epoch == Account.epoch,
            Account.disabled_at.is_(None),
            Row.created_at > now - ABSOLUTE,
            Row.seen_at > now - IDLE,
        )
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, account = found
    return Person(
        account.id, account.email, account.name, account.role, account.language, account.theme, account.time_zone, row.csrf, row.seen_at
    )


def touch(session: Session, cookie: str, now: datetime) -> None:
    session.execute(update(Row).where(Row.id_hash == _hash(cookie)).values(seen_at=now))


def sign_out(session: Session, cookie: str) -> None:
    session.execute(delete(Row).where(Row.id_hash == _hash(cookie)))


def end_all(session: Session, account: Account) -> None:
    """Every browser of this account is signed out; called when password or role change."""
    account.epoch += 1
    session.execute(delete(Row).where(Row.account_id == account.id))


def _hash(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()

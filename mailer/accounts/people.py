"""Accounts: the first administrator by a setup link, others by `kairan user add`; each person sets the password by a link, once."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.accounts import Account, PasswordLink, Role, SetupLink
from mailer.accounts import passwords, sessions

PASSWORD_LINK_LIFE = timedelta(days=1)


class AccountExists(ValueError):
    """There is an account of this address already."""


def has_administrator(session: Session) -> bool:
    return session.scalar(select(Account.id).where(Account.role == Role.ADMIN, Account.disabled_at.is_(None)).limit(1)) is not None


def setup_link(session: Session, now: datetime) -> str | None:
    """A fresh token for `/setup/TOKEN`; None once an administrator exists. Earlier links stop working."""
    if has_administrator(session):
        return None
    token = secrets.token_urlsafe(24)
    session.execute(delete(SetupLink))
    session.add(SetupLink(id_hash=_hash(token), created_at=now))
    return token


def is_setup_link(session: Session, token: str) -> bool:
    return session.get(SetupLink, _hash(token)) is not None and not has_administrator(session)


def first_administrator(session: Session, token: str, email: str, password: str, language: str, now: datetime) -> Account | None:
    """Makes the administrator and uses up the link; None where the link is not valid (any more)."""
    if session.execute(delete(SetupLink).where(SetupLink.id_hash == _hash(token))).rowcount == 0 or has_administrator(session):  # type: ignore[attr-defined]
        return None
    account = add(session, email, Role.ADMIN, now)
    account.password_hash = passwords.hashed(password)
    account.language = language
    return account


def add(session: Session, email: str, role: str, now: datetime) -> Account:
    """A new account without a password, in the installation's language and time zone. Raises AccountExists."""
    if by_email(session, email) is not None:
        raise AccountExists(email)
    account = Account(
        email=email.strip().casefold(),
        name="",
        role=Role(role),
        language=installation.get(session, "language"),
        theme="auto",
        time_zone=installation.get(session, "time_zone"),
        epoch=1,
        created_at=now,
    )
    session.add(account)
    session.flush()
    return account


def by_email(session: Session, email: str) -> Account | None:
    return session.scalars(select(Account).where(Account.email == email.strip().casefold())).one_or_none()


def password_link(session: Session, account: Account, now: datetime) -> str:
    """A token for `/password/TOKEN`, good once and for a day; earlier ones of this account stop working."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(PasswordLink).where(PasswordLink.account_id == account.id))
    session.add(PasswordLink(id_hash=_hash(token), account_id=account.id, expires_at=now + PASSWORD_LINK_LIFE))
    return token


def of_password_link(session: Session, token: str, now: datetime) -> Account | None:
    query = (
        select(Account)
        .join(PasswordLink, PasswordLink.account_id == Account.id)
        .where(PasswordLink.id_hash == _hash(token), PasswordLink.expires_at > now, Account.disabled_at.is_(None))
    )
    return session.scalars(query).one_or_none()


def set_password(session: Session, account: Account, password: str) -> None:
    """Ends every session and link of the account. Raises WeakPassword."""
    passwords.check(password, account.email)
    account.password_hash = passwords.hashed(password)
    sessions.end_all(session, account)
    session.execute(delete(PasswordLink).where(PasswordLink.account_id == account.id))


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()

"""Bearer tokens of programs: 256 bits, shown once, stored as SHA-256 with the first letters to tell them apart."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.accounts import ApiToken, Role

PREFIX = "kairan_"
USED_EVERY = timedelta(minutes=5)
"""`used_at` is worth a write this often at most"""


def make(session: Session, name: str, role: str, now: datetime, *, purpose: str | None = None, recipient: str | None = None) -> str:
    """A new token, returned once. Purpose and recipient are the defaults of its exports of personal data."""
    token = PREFIX + secrets.token_urlsafe(32)
    session.add(
        ApiToken(
            name=name,
            prefix=token[:12],
            hash=_hash(token),
            role=Role(role),
            purpose=purpose or None,
            recipient=recipient or None,
            created_at=now,
        )
    )
    session.flush()
    return token


def find(session: Session, token: str) -> ApiToken | None:
    """The row of a bearer token that still holds."""
    return session.scalars(select(ApiToken).where(ApiToken.hash == _hash(token), ApiToken.revoked_at.is_(None))).one_or_none()


def is_worth_touching(token: ApiToken, now: datetime) -> bool:
    return token.used_at is None or now - token.used_at > USED_EVERY


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()

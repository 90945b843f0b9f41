"""Who may sign in, with what role, and which programs may call the API."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, id_key


class Role(StrEnum):
    """What a person or token is here for; what each may do stands in mailer.accounts.authorize."""

    ADMIN = "admin"
    MARKETER = "marketer"
    ANALYST = "analyst"
    PRIVACY_OFFICER = "privacy_officer"


class Account(Base):
    """A person who signs in. Nobody exists before the first run's /setup page made the administrator."""

    __tablename__ = "accounts"

    id: Mapped[id_key]
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """casefolded; the name one signs in with"""
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    """argon2id; NULL until the person followed the password link"""
    language: Mapped[str] = mapped_column(String(5), default="en")
    theme: Mapped[str] = mapped_column(String(5), default="auto")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    epoch: Mapped[int] = mapped_column(default=1)
    """+1 at every change of password or role: sessions of an older epoch are over"""
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]


class Session(Base):
    """One signed-in browser. The cookie holds the 256-bit id; only its SHA-256 is stored."""

    __tablename__ = "sessions"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    epoch: Mapped[int]
    csrf: Mapped[str] = mapped_column(String(43))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class PasswordLink(Base):
    """A link that lets its holder set a password, once, within a day. Only its SHA-256 is stored."""

    __tablename__ = "password_links"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]


class SetupLink(Base):
    """The way to /setup while no administrator exists; gone once one does."""

    __tablename__ = "setup_links"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    created_at: Mapped[datetime]


class ApiToken(Base):
    """A program that calls the API. The token is shown once; its SHA-256 and its first letters stay."""

    __tablename__ = "api_tokens"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(12))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    purpose: Mapped[str | None] = mapped_column(Text)
    """default purpose of exports of personal data made with it"""
    recipient: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """The first answer to a POST with this key, kept 24 hours, written in the transaction of its effect."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("token_id", "key"),)

    id: Mapped[id_key]
    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(200))
    request_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    """SHA-256 of method, path and body: another body under the same key is an error, not a replay"""
    status: Mapped[int | None]
    """NULL while the first request is still being worked on"""
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(index=True)

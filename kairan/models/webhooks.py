"""What programs of others are told: where, of what, and each post on its way."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, big, id_key


class FeedEntry(Base):
    """Something that a webhook wants to be told, written with what it tells of, gone when it was made into posts."""

    __tablename__ = "feed"

    id: Mapped[id_key]
    kind: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    campaign_id: Mapped[int | None] = mapped_column(BigId)
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    detail: Mapped[dict[str, Any]]


class Webhook(Base):
    """An address that is posted to (Standard Webhooks)."""

    __tablename__ = "webhooks"

    id: Mapped[id_key]
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """sealed by kairan.vault at webhooks/ID/secret"""
    kinds: Mapped[list[Any]]
    """of mailer.automation.hook_words.KINDS"""
    addresses: Mapped[bool] = mapped_column(default=False)
    """whether bodies hold the member's address; then purpose and recipient stand in the register of provisions"""
    purpose: Mapped[str] = mapped_column(String(500), default="")
    recipient: Mapped[str] = mapped_column(String(500), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    failing_since: Mapped[datetime | None]
    """since when no post has been taken; NULL: the last one was"""
    off_reason: Mapped[str | None] = mapped_column(String(12))
    """`gone` (410), `failing` (for days); NULL: a person's choice"""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WebhookState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class WebhookPost(Base):
    """One message on its way to a webhook: at least once, always under the same id."""

    __tablename__ = "webhook_posts"
    __table_args__ = (Index(None, "state", "due_at"), Index(None, "webhook_id", "id"))

    id: Mapped[id_key]
    webhook_id: Mapped[int] = mapped_column(BigId, ForeignKey("webhooks.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    body: Mapped[str] = mapped_column(Text)
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    """whom it names: an erasure takes it along"""
    state: Mapped[str] = mapped_column(String(8), default=WebhookState.QUEUED)
    due_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    lease_until: Mapped[datetime | None]
    reply: Mapped[str | None] = mapped_column(String(200))
    """the last status, or why none came"""
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Site(Base):
    """A web site of the organisation's own, with the website beacon on its pages."""

    __tablename__ = "sites"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(100))
    host: Mapped[str] = mapped_column(String(255), unique=True)
    """lower case, without a port; its subdomains are sites of their own"""
    code: Mapped[str] = mapped_column(String(24), unique=True)
    """how its beacon is called: /b/CODE.gif"""
    created_at: Mapped[datetime]


class SiteVisits(Base):
    """Views of one page in one day (UTC). `known`: those joined to a member."""

    __tablename__ = "site_visits"

    site_id: Mapped[int] = mapped_column(BigId, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    path: Mapped[str] = mapped_column(String(200), primary_key=True)
    """without query and fragment, which may hold anything"""
    views: Mapped[big] = mapped_column(default=0)
    known: Mapped[big] = mapped_column(default=0)


class MemberVisit(Base):
    """A page that a member looked at after a click from their mail, with a cookie they had accepted."""

    __tablename__ = "member_visits"
    __table_args__ = (Index(None, "member_id", "at"), Index(None, "at"))

    id: Mapped[id_key]
    member_id: Mapped[int] = mapped_column(BigId)
    campaign_id: Mapped[int] = mapped_column(BigId)
    site_id: Mapped[int] = mapped_column(BigId, ForeignKey("sites.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime]

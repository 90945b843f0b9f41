"""What a person was told about, who wants to be told of what, and the webhook that is told as well."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, id_key


class PostState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class Alert(Base):
    """One cause. While it stands (`over_at` is NULL) nobody is told again; whoever opens it, of all machines, is who tells."""

    __tablename__ = "alerts"

    id: Mapped[id_key]
    key: Mapped[str] = mapped_column(String(320), unique=True)
    """`campaign/7/paused`, `provider/3`, `disk/HOST`, `redis`"""
    kind: Mapped[str] = mapped_column(String(24))
    """a key of mailer.campaigns.alerts.KINDS"""
    facts: Mapped[dict[str, Any]]
    """what its words are made of"""
    began_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """when some machine last saw that it stands"""
    over_at: Mapped[datetime | None]


class AlertChoice(Base):
    """Whether a person wants mail of a kind; without a row the default of the role holds."""

    __tablename__ = "alert_choices"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)
    mail: Mapped[bool]


class AlertHook(Base):
    """Where alerts are posted to (Standard Webhooks)."""

    __tablename__ = "alert_hooks"

    id: Mapped[id_key]
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """sealed by kairan.vault at alert_hooks/ID/secret"""
    kinds: Mapped[list[Any]]
    enabled: Mapped[bool] = mapped_column(default=True)
    updated_at: Mapped[datetime]


class AlertPost(Base):
    """One alert on its way to a hook: at least once, under one message id."""

    __tablename__ = "alert_posts"
    __table_args__ = (Index(None, "state", "due_at"),)

    id: Mapped[id_key]
    hook_id: Mapped[int] = mapped_column(BigId, ForeignKey("alert_hooks.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(String(40), unique=True)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(8), default=PostState.QUEUED)
    due_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    reply: Mapped[str | None] = mapped_column(String(200))
    """the last status, or why none came"""
    created_at: Mapped[datetime]

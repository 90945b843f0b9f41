"""Who did what, in an order nobody can rewrite unseen."""

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, id_key


class AuditRow(Base):
    """One act. Ids only, no personal data. A job seals rows in order into a hash chain; a sealed row never changes."""

    __tablename__ = "audit"

    id: Mapped[id_key]
    happened_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(40))
    """`account:3`, `token:2`, `member`, `system`"""
    action: Mapped[str] = mapped_column(String(40))
    """`campaign.send`, `export.events`…"""
    object_id: Mapped[int | None] = mapped_column(BigId)
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sealed_number: Mapped[int | None] = mapped_column(BigId, unique=True)
    """place in the chain"""
    seal: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """SHA-256 over the previous seal and this row"""


class Provision(Base):
    """Personal data was given out: to whom and what for (register of provisions, PRIVACY.md clause 7)."""

    __tablename__ = "provisions"

    id: Mapped[id_key]
    happened_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(40))
    what: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[int | None] = mapped_column(BigId)
    purpose: Mapped[str] = mapped_column(String(500))
    recipient: Mapped[str] = mapped_column(String(500))

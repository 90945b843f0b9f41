"""What reports keep: figures that take long to count, links for people without an account, and reports that come by mail."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, Document, id_key


class StoredFigures(Base):
    """Figures over all members or mails, counted in the background and shown with their time."""

    __tablename__ = "stored_figures"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[Any] = mapped_column(Document)
    as_of: Mapped[datetime]


class ReportLink(Base):
    """A public page with a campaign's figures and no personal data. The token itself is shown once and not kept."""

    __tablename__ = "report_links"
    __table_args__ = (Index(None, "campaign_id"),)

    id: Mapped[id_key]
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    key: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    """SHA-256 of the token"""
    created_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    """NULL: until a person ends it"""


class ReportMail(Base):
    """A report that a person gets by mail: of one campaign so many hours after its start, or of all of them every week or month."""

    __tablename__ = "report_mails"
    __table_args__ = (Index(None, "next_at"), Index(None, "account_id", "campaign_id", "every", "after_hours", unique=True))

    id: Mapped[id_key]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    campaign_id: Mapped[int] = mapped_column(BigId, default=0)
    """0: over all campaigns"""
    every: Mapped[str] = mapped_column(String(5), default="")
    """`week` or `month`; empty for one campaign"""
    after_hours: Mapped[int] = mapped_column(SmallInteger, default=0)
    next_at: Mapped[datetime | None]
    """NULL: it was sent, or waits for the campaign's start"""
    sent_at: Mapped[datetime | None]

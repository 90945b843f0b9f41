"""Segments: members described by a rule, and the campaigns that are narrowed by one."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, id_key

_IN_SIGHT = text("archived_at IS NULL")


class Segment(Base):
    """Whoever fits a rule at the moment it is asked. A name is free again once its segment is archived."""

    __tablename__ = "segments"
    __table_args__ = (Index(None, "name", unique=True, sqlite_where=_IN_SIGHT, postgresql_where=_IN_SIGHT),)

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    rule: Mapped[dict[str, Any]]
    """mailer.audience.rules as a document"""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class CampaignSegment(Base):
    """A segment that narrows a campaign's lists, or keeps its members out (`excluded`). It never brings anybody in."""

    __tablename__ = "campaign_segments"
    __table_args__ = (Index(None, "segment_id"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    excluded: Mapped[bool] = mapped_column(primary_key=True, default=False)
    """a segment may do both: then nobody is left, which the check before a send says"""
    rule: Mapped[dict[str, Any] | None]
    """the segment's rule as it was when the campaign began; NULL: not begun, the segment's own holds"""

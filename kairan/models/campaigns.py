"""A campaign, its revisions, what it was compiled to, and the links in it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.audience import Recording
from kairan.models.base import Base, BigId, big, id_key


class CampaignStatus(StrEnum):
    """The allowed moves stand in mailer.campaigns.lifecycle.MOVES."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class Campaign(Base):
    """One mail to many members. What it says is in its revisions; `revision` names the one that holds."""

    __tablename__ = "campaigns"
    __table_args__ = (Index(None, "status", "due_at"), Index(None, "series_id", "occurrence", unique=True))

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(10), default=CampaignStatus.DRAFT)
    revision: Mapped[int] = mapped_column(default=1)
    purpose_id: Mapped[int | None] = mapped_column(ForeignKey("purposes.id"))
    """only for a campaign without lists; else each list brings its own"""
    recording: Mapped[str] = mapped_column(String(10), default=Recording.IDENTIFIED)
    record_opens: Mapped[bool] = mapped_column(default=True)
    """without: no beacon in the mail"""
    record_clicks: Mapped[bool] = mapped_column(default=True)
    """without: links lead to their targets directly"""
    utm: Mapped[dict[str, Any] | None]
    """source, medium and campaign, as far as wanted: added to each link's query at the click"""
    in_archive: Mapped[bool] = mapped_column(default=True)
    """shown in the public archives of its lists, where they have one"""
    due_at: Mapped[datetime | None]
    """when a scheduled campaign starts, UTC"""
    due_wall: Mapped[str | None] = mapped_column(String(16))
    """the wall time asked for, `2026-11-24T09:00`, with its zone: a change of the zone's rules moves due_at, not the wall time"""
    due_zone: Mapped[str | None] = mapped_column(String(64))
    local_time: Mapped[bool] = mapped_column(default=False)
    """each member gets it at due_wall of their own zone; those without one at due_wall in due_zone"""
    send_window: Mapped[dict[str, Any] | None]
    """kairan.walltime.Window as a document; NULL: at any hour"""
    per_hour: Mapped[int | None]
    """mails an hour at most; NULL: as fast as it goes"""
    rate_slot: Mapped[big] = mapped_column(default=0)
    """the slice of time that `rate_used` counts in, in seconds since 1970"""
    rate_used: Mapped[int] = mapped_column(default=0)
    last_due_at: Mapped[datetime | None]
    """when the last of the deliveries was due as they were written: a campaign by local time goes out until then"""
    series_id: Mapped[int | None] = mapped_column(BigId)
    """of the pattern (`occurrence` is NULL) and of each occurrence. No foreign key: SQLite adds none to a table that is there"""
    occurrence: Mapped[str | None] = mapped_column(String(16))
    """the wall time that makes this one of a series; unique in it, so two schedulers make it once"""
    paused_reason: Mapped[str | None] = mapped_column(String(40))
    """a key of mailer.campaigns.lifecycle.PAUSE_REASONS, NULL when a person paused it"""
    paused_detail: Mapped[str | None] = mapped_column(Text)
    snapshot_after: Mapped[big] = mapped_column(default=0)
    """the last member the snapshot has looked at: where it resumes after a kill"""
    snapshot_at: Mapped[datetime | None]
    """when the snapshot was complete; NULL: deliveries are still being written"""
    audience: Mapped[int] = mapped_column(default=0)
    """deliveries written by the snapshot"""
    left_out: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """reason to number of members in the lists who got no delivery"""
    trial: Mapped[dict[str, Any] | None]
    """mailer.campaigns.trials.Trial as a document: how variants are tried, and which one won; NULL: there are none, or all share alike"""
    approval: Mapped[dict[str, Any] | None]
    """mailer.campaigns.approval.Approval as a document: who asked for a second person's yes, and who gave it to which revision"""
    final_counts: Mapped[dict[str, Any] | None]
    """deliveries by state, once all of them have ended for good; NULL: something may still move"""
    told_status: Mapped[str | None] = mapped_column(String(10))
    """the status that webhooks were told last"""
    created_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class SeriesState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class Series(Base):
    """A mail that goes out again and again: its pattern is a draft, and each occurrence a copy of it that is a campaign like any other."""

    __tablename__ = "series"
    __table_args__ = (Index(None, "state", "next_at"),)

    id: Mapped[id_key]
    pattern_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), unique=True)
    state: Mapped[str] = mapped_column(String(10), default=SeriesState.ACTIVE)
    rule: Mapped[dict[str, Any]]
    """mailer.campaigns.recurrence.Rule as a document"""
    zone: Mapped[str] = mapped_column(String(64))
    next_wall: Mapped[str | None] = mapped_column(String(16))
    """the next occurrence that is not made yet; NULL: there is none"""
    next_at: Mapped[datetime | None]
    """when that one starts, UTC"""
    missed: Mapped[int] = mapped_column(default=0)
    """occurrences that nobody made in time: they are not sent late"""
    missed_wall: Mapped[str | None] = mapped_column(String(16))
    """the last of them"""
    created_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class CampaignList(Base):
    """A list that brings members in, or keeps them out (`excluded`)."""

    __tablename__ = "campaign_lists"
    __table_args__ = (Index(None, "list_id"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    excluded: Mapped[bool] = mapped_column(default=False)


class CampaignLabel(Base):
    """A free word by which people find campaigns again; members do not see it."""

    __tablename__ = "campaign_labels"
    __table_args__ = (Index(None, "label"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(String(40), primary_key=True)


class Revision(Base):
    """What a campaign said at one time; never changed. Two saves of one base collide on the key: the second is told."""

    __tablename__ = "revisions"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject: Mapped[str] = mapped_column(Text, default="")
    preheader: Mapped[str] = mapped_column(Text, default="")
    from_name: Mapped[str] = mapped_column(String(200), default="")
    from_email: Mapped[str] = mapped_column(String(254), default="")
    reply_to: Mapped[str | None] = mapped_column(String(254))
    kind: Mapped[str] = mapped_column(String(10), default="html")
    """content kind: html or text; document, mjml and markdown have their place here"""
    content: Mapped[str] = mapped_column(Text, default="")
    """the source in its kind"""
    text: Mapped[str | None] = mapped_column(Text)
    """the author's own plain-text part; NULL: written from the content"""
    versions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """`b`, `ja`, `b-ja`… to the fields in which that version differs from the one it follows (mailer.campaigns.versions)"""
    saved_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    saved_at: Mapped[datetime]


class Program(Base):
    """A revision compiled for one language and format: fragments and slots (mailer.compose.program.Program as JSON)."""

    __tablename__ = "programs"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, default=0)
    """0: A, or the only one; 1-3 are B, C and D of an A/B test"""
    language: Mapped[str] = mapped_column(String(5), primary_key=True)
    format: Mapped[str] = mapped_column(String(5), primary_key=True)
    """html, plain (html without beacon and tracked links), text"""
    body: Mapped[str] = mapped_column(Text)


class Link(Base):
    """One link position in a campaign. A number is never used twice within a campaign, whatever is edited: sent mails point at it."""

    __tablename__ = "links"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
    kind: Mapped[str] = mapped_column(String(5))
    """`image` or `text`: which of the two was clicked"""
    label: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    """may hold merge fields in path or query; they are resolved at the click"""

"""What belongs to the installation as a whole: the organisation that sends, its law, and the marks that guard its database."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.audience import Recording
from kairan.models.base import Base, Document


class LegalProfile(Base):
    """The law an installation sends under, as defaults and demands. The migration writes `jp`; others are rows to come."""

    __tablename__ = "legal_profiles"

    code: Mapped[str] = mapped_column(String(5), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(Text)
    """which acts the demands come from"""
    guardian_age: Mapped[int]
    """under this age a guardian must consent"""
    recording: Mapped[str] = mapped_column(String(10), default=Recording.IDENTIFIED)
    """what a new member's `recording` starts as"""
    needs_address: Mapped[bool] = mapped_column(default=True)
    needs_contact: Mapped[bool] = mapped_column(default=True)


class Setting(Base):
    """A setting made in the UI or API, by name: `organisation`, `legal_profile`, `language`, `one_click_scope`…"""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(Document)
    updated_at: Mapped[datetime]


class Mark(Base):
    """Facts that must agree with this process: the secret's fingerprint, the epoch that a restored backup does not have."""

    __tablename__ = "marks"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))

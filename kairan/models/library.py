"""What campaigns are begun with and made of: templates and saved sections of one's own; and who gets a copy of each."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, id_key


class Template(Base):
    """A mail to begin with, made from a campaign of the installation's own."""

    __tablename__ = "templates"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200), unique=True)
    subject: Mapped[str] = mapped_column(Text, default="")
    preheader: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(String(10))
    content: Mapped[str] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SavedSection(Base):
    """A section that several mails hold by reference: a change of it is in each of them that is compiled after it."""

    __tablename__ = "saved_sections"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200), unique=True)
    section: Mapped[dict[str, Any]]
    """a section of mailer.compose.document"""
    updated_at: Mapped[datetime]


class Seed(Base):
    """An address of ours that gets a copy of each campaign, to see how it arrives. Counted nowhere."""

    __tablename__ = "seeds"

    id: Mapped[id_key]
    email: Mapped[str] = mapped_column(String(254), unique=True)
    created_at: Mapped[datetime]

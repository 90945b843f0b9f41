"""Pictures for mails: re-encoded, named by their content, served as immutable under /m/HASH.ext."""

from datetime import datetime

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, id_key


class Medium(Base):
    """One picture. Its bytes are ours (Pillow wrote them); what was uploaded is not kept."""

    __tablename__ = "media"

    id: Mapped[id_key]
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the bytes, hexadecimal: its public name"""
    extension: Mapped[str] = mapped_column(String(5))
    width: Mapped[int]
    height: Mapped[int]
    name: Mapped[str] = mapped_column(String(200), default="")
    alt: Mapped[str] = mapped_column(Text, default="")
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]

"""Addresses that get no mail, whoever they belong to and whatever a file says."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId


class SuppressionReason(StrEnum):
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINT = "complaint"
    BOUNCED = "bounced"
    ERASED = "erased"
    STAFF = "staff"


class Suppression(Base):
    """The address behind this key gets no marketing mail. Outlives the member: an erased address cannot be imported back."""

    __tablename__ = "suppressions"

    address_key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    reason: Mapped[str] = mapped_column(String(12))
    note: Mapped[str] = mapped_column(Text, default="")
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    campaign_id: Mapped[int | None] = mapped_column(BigId, index=True)
    """the mail whose link was used: counted as its unsubscribes"""
    source: Mapped[str] = mapped_column(String(12), default="")
    """through which door it came (consent.ConsentSource); empty: not known"""
    actor: Mapped[str] = mapped_column(String(40), default="")
    """who it was: account:3, token:2 or member; empty: nobody in particular, as for a bounce"""
    created_at: Mapped[datetime]


class SuppressedDomain(Base):
    """No address of this domain gets marketing mail."""

    __tablename__ = "suppressed_domains"

    domain: Mapped[str] = mapped_column(String(253), primary_key=True)
    """as in the wire's form of an address: IDNA, small letters"""
    written: Mapped[str] = mapped_column(String(253), index=True)
    """as people write it; members' addresses are kept in either form"""
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(40), default="")
    created_at: Mapped[datetime]

"""Every yes and no of a member: the ledger that only grows, and what holds now. Only `unsubscribe` writes here."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, id_key


class ConsentAct(StrEnum):
    OPT_IN = "opt_in"
    OPT_OUT = "opt_out"
    LEAVE_ALL = "leave_all"
    RETURN = "return"
    """took a leave_all back"""
    CHOOSE = "choose"
    ADDRESS = "address"
    """moved to another address"""
    SUPPRESS = "suppress"
    RELEASE = "release"
    SUSPEND = "suspend"
    RESUME = "resume"
    GUARDIAN = "guardian"
    ERASE = "erase"


class ConsentSource(StrEnum):
    """Through which door the will came in."""

    IMPORT = "import"
    API = "api"
    FORM = "form"
    ONE_CLICK = "one_click"
    PAGE = "page"
    MAILTO = "mailto"
    STAFF = "staff"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"


class Wording(Base):
    """The exact words a member agreed to, kept as long as a consent row points at them. Equal words are one row."""

    __tablename__ = "wordings"

    id: Mapped[id_key]
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    """SHA-256 of the text"""
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class ConsentRow(Base):
    """One act of will, with its evidence; never changed. It outlives the member under the address key."""

    __tablename__ = "consents"

    id: Mapped[id_key]
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    """no foreign key: the row outlives the member"""
    address_key: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    act: Mapped[str] = mapped_column(String(12))
    source: Mapped[str] = mapped_column(String(12))
    purpose_id: Mapped[int | None] = mapped_column(ForeignKey("purposes.id"))
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    campaign_id: Mapped[int | None] = mapped_column(BigId)
    """the mail whose link was used"""
    wording_id: Mapped[int | None] = mapped_column(ForeignKey("wordings.id"))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """what changed, e.g. {"format": ["html", "text"]}; the network prefix and user agent of the act where it came over the web"""
    happened_at: Mapped[datetime]
    """when the member acted: for an import the time the file states"""
    recorded_at: Mapped[datetime]


class LeaveReason(Base):
    """Why a member left, as they told it after their no. Beside the row of the no, since that is never changed."""

    __tablename__ = "leave_reasons"

    consent_id: Mapped[int] = mapped_column(BigId, ForeignKey("consents.id"), primary_key=True, autoincrement=False)
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    """NULL after an erasure, and no words then"""
    campaign_id: Mapped[int | None] = mapped_column(BigId, index=True)
    """the mail whose link was used"""
    reason: Mapped[str] = mapped_column(String(16))
    """of unsubscribe.leaving.REASONS"""
    words: Mapped[str] = mapped_column(Text, default="")
    told_at: Mapped[datetime]


class Permission(Base):
    """Whether a member's consent for a purpose holds now. Derived from the ledger, in the transaction that wrote it."""

    __tablename__ = "permissions"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True)
    purpose_id: Mapped[int] = mapped_column(ForeignKey("purposes.id"), primary_key=True)
    given_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    """NULL: the consent holds"""

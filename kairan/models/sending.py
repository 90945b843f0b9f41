"""The domains that mail is sent from, and the keys it is signed with."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, Document, id_key


class SendingDomain(Base):
    """A domain of From addresses; it also stands for the domains below it that have no row of their own."""

    __tablename__ = "sending_domains"

    id: Mapped[id_key]
    domain: Mapped[str] = mapped_column(String(253), unique=True)
    """lower case, A-labels"""
    link_host: Mapped[str | None] = mapped_column(String(253), index=True)
    """host of the links in mails from here; NULL: the installation's own"""
    return_path: Mapped[str | None] = mapped_column(String(254))
    """address that bounces go to; NULL: the From address"""
    created_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]
    findings: Mapped[list[Any]] = mapped_column(Document, default=list)
    """what the DNS said at checked_at: mailer.delivery.sender_dns.Finding as JSON"""


class KeyState(StrEnum):
    """NEW is published and signs nothing yet; RETIRED signs no more, its record stays for mails on their way."""

    NEW = "new"
    ACTIVE = "active"
    RETIRED = "retired"


class DkimKey(Base):
    """One signing key of a domain, known to the world by its selector."""

    __tablename__ = "dkim_keys"
    __table_args__ = (UniqueConstraint("domain_id", "selector"),)

    id: Mapped[id_key]
    domain_id: Mapped[int] = mapped_column(ForeignKey("sending_domains.id", ondelete="CASCADE"))
    selector: Mapped[str] = mapped_column(String(63))
    algorithm: Mapped[str] = mapped_column(String(8))
    """rsa or ed25519"""
    private_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    """PKCS#8, sealed at dkim_keys/<id>/private_key; NULL once retired: nothing will be signed with it"""
    public_key: Mapped[str] = mapped_column(Text)
    """the `p=` of its DNS record"""
    state: Mapped[str] = mapped_column(String(8), default=KeyState.NEW)
    created_at: Mapped[datetime]
    active_from: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

"""Members, the lists they are in, and the purposes their data may serve."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, id_key


class Format(StrEnum):
    HTML = "html"
    TEXT = "text"


class Recording(StrEnum):
    """How opens and clicks of a member are recorded; also what a campaign asks for. The stricter of the two holds."""

    IDENTIFIED = "identified"
    AGGREGATE = "aggregate"
    NONE = "none"


class Member(Base):
    """A person who may receive mail. Every no of a member locks this row (see unsubscribe.consent)."""

    __tablename__ = "members"

    id: Mapped[id_key]
    email: Mapped[str] = mapped_column(String(254))
    """as written, for sending"""
    address_key: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    """keyed hash of the normal form (kairan.addresses); what suppressions are looked up by"""
    first_name: Mapped[str] = mapped_column(String(200), default="")
    last_name: Mapped[str] = mapped_column(String(200), default="")
    locale: Mapped[str] = mapped_column(String(16), default="")
    """`ja`, `en-GB`…; empty: the installation's language"""
    time_zone: Mapped[str | None] = mapped_column(String(64))
    """`Asia/Tokyo`…; NULL: not known, so the campaign's zone holds"""
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    format: Mapped[str] = mapped_column(String(4), default=Format.HTML)
    recording: Mapped[str] = mapped_column(String(10), default=Recording.IDENTIFIED)
    frequency: Mapped[str] = mapped_column(String(8), default="each")
    """each, weekly, monthly; a pause is `paused_until`"""
    paused_until: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]
    """suspension of use was asked for: nothing is sent or recorded, the row stays"""
    awaiting_guardian: Mapped[bool] = mapped_column(default=False)
    """under the legal profile's age and the guardian has not confirmed: no mail, no beacons"""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class AddressChange(Base):
    """A member's move to another address: asked for, proved by a mail to it, or entered by staff. Kept as the history of addresses."""

    __tablename__ = "address_changes"

    id: Mapped[id_key]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), index=True)
    before: Mapped[str] = mapped_column(String(254))
    """empty after its owner's data were erased"""
    before_key: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    email: Mapped[str] = mapped_column(String(254))
    """empty: no mail went there, since the address is not free"""
    address_key: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    asked_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    """when it held; NULL: it does not"""


class Attribute(Base):
    """A field that members may have beside the built-in ones; its name is what merge fields and segments say."""

    __tablename__ = "attributes"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(16), default="text")
    label_en: Mapped[str] = mapped_column(String(200), default="")
    label_ja: Mapped[str] = mapped_column(String(200), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]


class Purpose(Base):
    """What members' data may be used for, in the words they were told. Equal names are one purpose."""

    __tablename__ = "purposes"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime]


class List(Base):
    """Members who asked for one topic, for one purpose."""

    __tablename__ = "lists"
    __table_args__ = (Index(None, "slug", unique=True),)

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(200), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    """for members: what they get and how often"""
    purpose_id: Mapped[int] = mapped_column(ForeignKey("purposes.id"))
    public: Mapped[bool] = mapped_column(default=False)
    """offered in the preference centre to those who are not in it"""
    public_archive: Mapped[bool] = mapped_column(default=False)
    """its sent campaigns are open to everybody at /archive/LIST (mailer.campaigns.public_archive)"""
    slug: Mapped[str | None] = mapped_column(String(64))
    """its name in that address; NULL: its id, which leads there always"""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime | None]
    """when what members see of it was changed last; NULL: never"""
    archived_at: Mapped[datetime | None]
    """out of sight, its public archive too"""


class Subscription(Base):
    """A member is, or was, in a list. Being in a list is not consent: see consent.Permission."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index(None, "list_id", "member_id"),)

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    since: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """NULL: still in the list"""

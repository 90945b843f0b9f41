"""What came back: opens and clicks, what they add up to, and how far the stream was read. Only `tracking` writes here."""

from datetime import datetime
from enum import IntEnum

from sqlalchemy import BigInteger, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, big


class EventKind(IntEnum):
    OPEN = 1
    """the beacon was fetched: opened or previewed, it cannot tell which"""
    CLICK = 2


class Event(Base):
    """One fetch of a beacon or link. Its key is where it stood in the stream, so a batch drained twice changes nothing."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "campaign_id", "occurred_at"),
        Index(None, "member_id", "occurred_at"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    entry: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """the stream entry's id: milliseconds * 2**20 + sequence"""
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    """place within the packed entry"""
    campaign_id: Mapped[big]
    number: Mapped[big]
    """the delivery; 0 where the member is recorded in the aggregate only (such an event makes no row)"""
    member_id: Mapped[int | None] = mapped_column(BigId)
    kind: Mapped[int] = mapped_column(SmallInteger)
    link: Mapped[int] = mapped_column(SmallInteger, default=0)
    """the link position; 0 for an open"""
    machine: Mapped[bool]
    rule: Mapped[str] = mapped_column(String(32))
    """the rule of tracking.machines that judged it, with its version: `head/1`"""
    client: Mapped[str | None] = mapped_column(String(32))
    """family of the mail client; the user agent itself is not kept"""
    network: Mapped[str | None] = mapped_column(String(43))
    """/24 or /48 prefix; the address itself is not kept"""
    device: Mapped[str | None] = mapped_column(String(8))
    """a tracking.machines.Device, as far as the user agent tells"""
    country: Mapped[str | None] = mapped_column(String(2))
    """ISO 3166-1 of the network, only where the operator has an MMDB file"""


class Engagement(Base):
    """What one delivery's member did, people and machines apart."""

    __tablename__ = "engagement"

    campaign_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    member_id: Mapped[int | None] = mapped_column(BigId, index=True)
    opens: Mapped[int] = mapped_column(default=0)
    clicks: Mapped[int] = mapped_column(default=0)
    machine_opens: Mapped[int] = mapped_column(default=0)
    machine_clicks: Mapped[int] = mapped_column(default=0)
    first_open_at: Mapped[datetime | None]
    first_click_at: Mapped[datetime | None]
    last_at: Mapped[datetime]


class LinkEngagement(Base):
    """How often one delivery's member clicked one link position."""

    __tablename__ = "link_engagement"

    campaign_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    link: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    clicks: Mapped[int] = mapped_column(default=0)
    machine_clicks: Mapped[int] = mapped_column(default=0)
    first_at: Mapped[datetime]


class Rollup(Base):
    """One campaign's hour: what reports read, so that a page costs the same at ten million events."""

    __tablename__ = "rollups"

    campaign_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    link: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    people: Mapped[int] = mapped_column(default=0)
    machines: Mapped[int] = mapped_column(default=0)
    unique: Mapped[int] = mapped_column("uniques", default=0)
    """deliveries whose first open, or first click on this link, by a person fell into this hour"""
    unique_any: Mapped[int] = mapped_column(default=0)
    """kind click: deliveries whose first click on any link by a person was this one"""
    anonymous: Mapped[int] = mapped_column(default=0)
    """of people: recorded in the aggregate only"""


class Aspect(IntEnum):
    """What people's fetches of a campaign are told apart by, beside the hour and the link."""

    CLIENT = 1
    DEVICE = 2
    DOMAIN = 3
    """of the member's address, in lower case"""
    COUNTRY = 4
    RULE = 5
    """the rule that judged, with its version"""


class Facet(Base):
    """One value of one aspect of a campaign: `Gmail` of CLIENT, `phone` of DEVICE, `docomo.ne.jp` of DOMAIN. An unknown value is ''."""

    __tablename__ = "facets"

    campaign_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    aspect: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    opens: Mapped[int] = mapped_column(default=0)
    """fetches of the beacon by people, those recorded in the aggregate among them"""
    clicks: Mapped[int] = mapped_column(default=0)
    openers: Mapped[int] = mapped_column(default=0)
    """deliveries whose first open by a person was such a one: over the values they add up to the unique opens"""
    clickers: Mapped[int] = mapped_column(default=0)
    """the same for the first click on any link"""
    machines: Mapped[int] = mapped_column(default=0)
    """fetches of either kind by machines"""


class StreamPosition(Base):
    """How far a stream was drained, written in the transaction of the events themselves. A new Redis is a new epoch."""

    __tablename__ = "stream_positions"

    stream: Mapped[str] = mapped_column(String(40), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(32))
    last_id: Mapped[str] = mapped_column(String(42), default="0-0")
    updated_at: Mapped[datetime]


class IngestCount(Base):
    """Events dropped, by reason and day: nothing is lost without being counted."""

    __tablename__ = "ingest_counts"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    reason: Mapped[str] = mapped_column(String(24), primary_key=True)
    count: Mapped[big] = mapped_column(default=0)

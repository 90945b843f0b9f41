"""Deliveries: one row a recipient, moved only by mailer.delivery under the rules of DESIGN.md "Delivery semantics"."""

from datetime import date, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import Date, Float, ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kairan.models.base import Base, BigId, id_key


class State(IntEnum):
    """Where a delivery stands. The sum over a campaign is its audience, always. Moves: mailer.delivery.states.MOVES."""

    QUEUED = 0
    SENDING = 1
    ACCEPTED = 2
    REJECTED = 3
    DEFERRED = 4
    UNCERTAIN = 5
    """the connection broke after the final dot: it may have arrived; held until a person says what to do"""
    SUPPRESSED = 6
    """a no of the member stopped it at the gate"""
    CANCELLED = 7
    FAILED = 8
    """could not be made into a mail"""
    EXPIRED = 9


class Delivery(Base):
    """One mail of a campaign to one member. (campaign, number) is its name; an attempt is (lane_id, fence)."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("campaign_id", "address_key"),
        # Not on state: an index that holds it would make every move of a row an index write (no HOT update).
        Index(None, "member_id"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """1…N within the campaign"""
    member_id: Mapped[int] = mapped_column(BigId)
    """no foreign key: the count outlives an erased member"""
    address_key: Mapped[bytes] = mapped_column(LargeBinary(16))
    state: Mapped[int] = mapped_column(SmallInteger, default=State.QUEUED)
    due_at: Mapped[datetime | None]
    """not gated before this; NULL: held"""
    fence: Mapped[int] = mapped_column(Integer, default=0)
    """+1 at every gate"""
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    """temporary refusals (4xx) so far"""
    lane_id: Mapped[int | None] = mapped_column(BigId)
    reason: Mapped[str | None] = mapped_column(String(24))
    """why it was suppressed, failed or expired: a key of mailer.delivery.states.REASONS"""
    code: Mapped[int | None] = mapped_column(SmallInteger)
    reply: Mapped[str | None] = mapped_column(Text)
    """the server's last words, at most 500 characters"""
    provider_id: Mapped[int | None] = mapped_column(SmallInteger)
    ended_at: Mapped[datetime | None]
    """when the state became final, by the clock of who recorded it"""


class ZoneTime(Base):
    """When the members of one zone get a campaign by local time. Written before the deliveries, gone when they are written."""

    __tablename__ = "zone_times"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    zone: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime]


class Chunk(Base):
    """2,000 deliveries that a lane takes together. `due_at` is the least of its queued and deferred rows, or when the campaign's send
    window opens if that is later; NULL: nothing to do."""

    __tablename__ = "chunks"
    __table_args__ = (Index(None, "campaign_id", "due_at"), Index(None, "lane_id"))

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first: Mapped[int] = mapped_column(BigId)
    last: Mapped[int] = mapped_column(BigId)
    due_at: Mapped[datetime | None]
    lane_id: Mapped[int | None] = mapped_column(BigId)


class Lane(Base):
    """One run of a sending job: its locks, journal and rows go by this id. Dead is for ever; a lane begins again as a new row."""

    __tablename__ = "lanes"
    __table_args__ = (Index(None, "dead", "heartbeat_at"),)

    id: Mapped[id_key]
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    place: Mapped[str] = mapped_column(String(32))
    """the random id of the journal folder it writes to"""
    boot: Mapped[str] = mapped_column(String(36))
    """the kernel's boot id when it began: after another boot "no D in the journal" proves nothing"""
    heartbeat_at: Mapped[datetime]
    """database time"""
    dead: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    provider_id: Mapped[int | None] = mapped_column(BigId)
    """the one provider this run sends through; NULL: from before there were several"""


class Place(Base):
    """A journal folder on some host, with the lease that its host's sweeps renew (database time)."""

    __tablename__ = "places"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    lease_at: Mapped[datetime]


class Provider(Base):
    """An SMTP account to send through. The one named "environment" mirrors KAIRAN_SMTP_URL and is read-only."""

    __tablename__ = "providers"

    id: Mapped[id_key]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    host: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    security: Mapped[str] = mapped_column(String(10))
    """none, starttls, tls"""
    login: Mapped[str | None] = mapped_column(String(255))
    """the user name of AUTH; NULL: no AUTH. The environment's is never copied here"""
    password: Mapped[bytes | None] = mapped_column(LargeBinary)
    """sealed by kairan.vault at providers/ID/password"""
    enabled: Mapped[bool] = mapped_column(default=True)
    position: Mapped[int] = mapped_column(SmallInteger, default=10)
    """those of the least position share the mail; the others wait until all of these are broken or full"""
    weight: Mapped[int] = mapped_column(SmallInteger, default=1)
    """its part among those of its position"""
    connections: Mapped[int] = mapped_column(default=20)
    rate: Mapped[float | None] = mapped_column(Float)
    """mails a second over all machines; NULL: as fast as it takes them"""
    daily_ceiling: Mapped[int | None]
    """mails a day of the installation's time zone; NULL: none"""
    warm_start: Mapped[int | None]
    """mails on the first day of a warm-up; NULL: none"""
    warm_factor: Mapped[float | None] = mapped_column(Float)
    warm_target: Mapped[int | None]
    """where the warm-up is over"""
    warm_since: Mapped[date | None] = mapped_column(Date)
    broken_until: Mapped[datetime | None]
    """the circuit breaker is open until then"""
    breaks: Mapped[int] = mapped_column(default=0)
    """failures in a row: 60 s, doubled each time, 15 min at most"""
    last_error: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime]


class ProviderDay(Base):
    """What was started through a provider on one day. `begins_at` and `ends_at`: found without asking for the time zone at every gate."""

    __tablename__ = "provider_days"

    provider_id: Mapped[int] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    begins_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    started: Mapped[int] = mapped_column(default=0)
    ceiling: Mapped[int | None]
    """what holds on this day; NULL: none"""
    runs: Mapped[int] = mapped_column(default=0)
    """lanes begun"""


class DomainRate(Base):
    """A slower rate for a named group of recipient domains, at one provider or (NULL) at each of them."""

    __tablename__ = "domain_rates"
    __table_args__ = (UniqueConstraint("provider_id", "name"),)

    id: Mapped[id_key]
    provider_id: Mapped[int | None] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(40))
    """a group of mailer.delivery.domains, or one of the operator's own"""
    domains: Mapped[list[Any] | None]
    """of a group of the operator's own; NULL: those of the ready table"""
    rate: Mapped[float] = mapped_column(Float)
    """mails a second"""
    updated_at: Mapped[datetime]

"""The audience becomes deliveries: one piece is one chunk of 2,000, in one short transaction, until nobody is left.

A kill leaves whole pieces; the campaign row says where to go on and its lock keeps two snapshots apart, so a delivery's number is
given once. Deliveries are never removed again: what follows is states.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, func, insert, literal, null, select, text
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, State, ZoneTime
from kairan.sql import is_sqlite, locked
from mailer.audience import selection
from mailer.delivery import splits, zone_times
from mailer.delivery.chunks import CHUNK


def take_piece(session: Session, campaign_id: int, now: datetime) -> bool:
    """Writes the next chunk of deliveries. True: there may be more; False: the snapshot is complete (or the campaign is over)."""
    campaign = session.execute(locked(select(Campaign).where(Campaign.id == campaign_id), session, weak=True)).scalar_one()
    if campaign.snapshot_at is not None or campaign.status not in (CampaignStatus.SENDING, CampaignStatus.PAUSED):
        return False
    written = _write_deliveries(session, campaign, now)
    campaign.updated_at = now
    if written < CHUNK:
        campaign.snapshot_at = now
    return written == CHUNK


def prepare(session: Session, campaign_id: int, now: datetime) -> dict[str, datetime]:
    """Before the first piece, for a campaign by members' clocks: when each zone gets it. Give it to `zone_times.write`."""
    campaign = session.get_one(Campaign, campaign_id)
    if campaign.snapshot_at is not None or campaign.audience:
        return {}
    return zone_times.of_every_zone(campaign, installation.get(session, "time_zone"), now)


def _write_deliveries(session: Session, campaign: Campaign, now: datetime) -> int:
    first = campaign.audience + 1
    chosen = selection.recipients(session, campaign.id, now, after=campaign.snapshot_after, limit=CHUNK).subquery()
    number = (literal(campaign.audience) + func.row_number().over(order_by=chosen.c.id)).label("number")
    due_at = literal(zone_times.for_members_without(campaign, installation.get(session, "time_zone"), now), Delivery.due_at.type)
    is_by_zone = zone_times.differ(campaign)
    due: ColumnElement[datetime | None] = func.coalesce(ZoneTime.due_at, due_at) if is_by_zone else due_at
    split = splits.waiting(campaign.trial)
    if split is not None:  # who is not of the test is not due before the winner is known
        due = case((split.column(number).is_(None), null()), else_=due)
    rows = select(
        literal(campaign.id), number, chosen.c.id, chosen.c.address_key, literal(int(State.QUEUED)), due, literal(0), literal(0),
    )  # fmt: skip
    if is_by_zone:
        there = and_(ZoneTime.campaign_id == campaign.id, ZoneTime.zone == Member.time_zone)
        rows = rows.select_from(chosen).join(Member, Member.id == chosen.c.id).outerjoin(ZoneTime, there)
    columns = ["campaign_id", "number", "member_id", "address_key", "state", "due_at", "fence", "tries"]
    session.execute(insert(Delivery).from_select(columns, rows))
    return _write_chunk(session, campaign, first)


def _write_chunk(session: Session, campaign: Campaign, first: int) -> int:
    last, member, earliest, latest = session.execute(
        select(func.max(Delivery.number), func.max(Delivery.member_id), func.min(Delivery.due_at), func.max(Delivery.due_at)).where(
            Delivery.campaign_id == campaign.id, Delivery.number >= first
        )
    ).one()
    if last is None:
        return 0
    session.add(Chunk(campaign_id=campaign.id, number=(first - 1) // CHUNK + 1, first=first, last=last, due_at=earliest))
    campaign.audience = last
    campaign.snapshot_after = member
    if latest is not None and (campaign.last_due_at is None or campaign.last_due_at < latest):
        campaign.last_due_at = latest
    return int(last) - first + 1


def settle(session: Session, campaign_id: int, now: datetime) -> None:
    """After the last piece: who was left out and why."""
    campaign = session.get_one(Campaign, campaign_id)
    _reached, campaign.left_out = selection.count(session, campaign_id, now)
    zone_times.forget(session, campaign_id)
    session.flush()
    look_again(session)


def look_again(session: Session) -> None:
    """Fresh planner statistics on PostgreSQL: right after an import or a snapshot the gate's look-ups were planned as scans of whole
    tables, took over a second a batch, and nothing was ever sent within its 0.8 s."""
    if not is_sqlite(session):
        for table in ("members", "subscriptions", "permissions", "suppressions", "deliveries"):
            session.execute(text(f"ANALYZE {table}"))

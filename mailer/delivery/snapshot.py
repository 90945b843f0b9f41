"""The audience becomes deliveries: one piece is one chunk of 2,000, in one short transaction, until nobody is left.

A kill leaves whole pieces; the campaign row says where to go on and its lock keeps two snapshots apart, so a delivery's number is
given once. Deliveries are never removed again: what follows is states.
"""

from datetime import datetime

from sqlalchemy import func, insert, literal, select, text
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.sql import is_sqlite, locked
from mailer.audience import selection
from mailer.delivery.chunks import CHUNK


def take_piece(session: Session, campaign_id: int, now: datetime) -> bool:
    """Writes the next chunk of deliveries. True: there may be more; False: the snapshot is complete (or the campaign is over)."""
    campaign = session.execute(locked(select(Campaign).where(Campaign.id == campaign_id), session)).scalar_one()
    if campaign.snapshot_at is not None or campaign.status not in (CampaignStatus.SENDING, CampaignStatus.PAUSED):
        return False
    written = _write_deliveries(session, campaign, now)
    campaign.updated_at = now
    if written < CHUNK:
        campaign.snapshot_at = now
    return written == CHUNK


def _write_deliveries(session: Session, campaign: Campaign, now: datetime) -> int:
    first = campaign.audience + 1
    chosen = selection.recipients(campaign.id, now, after=campaign.snapshot_after, limit=CHUNK).subquery()
    number = (literal(campaign.audience) + func.row_number().over(order_by=chosen.c.id)).label("number")
    rows = select(
        literal(campaign.id), number, chosen.c.id, chosen.c.address_key, literal(int(State.QUEUED)), literal(now, Delivery.due_at.type),
        literal(0), literal(0),
    )  # fmt: skip
    columns = ["campaign_id", "number", "member_id", "address_key", "state", "due_at", "fence", "tries"]
    session.execute(insert(Delivery).from_select(columns, rows))
    last, member = session.execute(
        select(func.max(Delivery.number), func.max(Delivery.member_id)).where(Delivery.campaign_id == campaign.id, Delivery.number >= first)
    ).one()
    if last is None:
        return 0
    session.add(Chunk(campaign_id=campaign.id, number=(first - 1) // CHUNK + 1, first=first, last=last, due_at=now))
    campaign.audience = last
    campaign.snapshot_after = member
    return int(last) - first + 1


def settle(session: Session, campaign_id: int, now: datetime) -> None:
    """After the last piece: who was left out and why."""
    campaign = session.get_one(Campaign, campaign_id)
    _reached, campaign.left_out = selection.count(session, campaign_id, now)
    session.flush()
    look_again(session)


def look_again(session: Session) -> None:
    """Fresh planner statistics on PostgreSQL: right after an import or a snapshot the gate's look-ups were planned as scans of whole
    tables, took over a second a batch, and nothing was ever sent within its 0.8 s."""
    if not is_sqlite(session):
        for table in ("members", "subscriptions", "permissions", "suppressions", "deliveries"):
            session.execute(text(f"ANALYZE {table}"))

"""When the members of each time zone get a campaign: one row a zone, so that the snapshot needs no Python for a member."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from kairan import walltime
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import ZoneTime
from kairan.sql import insert
from kairan.walltime import Window
from mailer.delivery import holds


def differ(campaign: Campaign) -> bool:
    """Whether members of different zones get it at different times."""
    window = walltime.window_of(campaign.send_window)
    return (campaign.local_time and campaign.due_wall is not None) or bool(window and window.local)


def for_members_without(campaign: Campaign, otherwise: str, now: datetime) -> datetime:
    """When members without a zone of their own get it: by the campaign's."""
    zone = holds.zone_or(campaign.due_zone, otherwise)
    return _due(campaign, walltime.window_of(campaign.send_window), zone, zone, now)


def of_every_zone(campaign: Campaign, otherwise: str, now: datetime) -> dict[str, datetime]:
    """600 zones take 60 ms when a process asks for the first time: outside of a write transaction."""
    if not differ(campaign):
        return {}
    window, own = walltime.window_of(campaign.send_window), holds.zone_or(campaign.due_zone, otherwise)
    return {name: _due(campaign, window, ZoneInfo(name), own, now) for name in walltime.every_zone()}


def _due(campaign: Campaign, window: Window | None, zone: ZoneInfo, own: ZoneInfo, now: datetime) -> datetime:
    due = now
    if campaign.local_time and campaign.due_wall:
        due = walltime.moment_of(walltime.read(campaign.due_wall), zone)
    if window is None:
        return due
    return window.next_open(max(due, now), zone if window.local else own, early=holds.CLOSES_EARLY)


def write(session: Session, campaign_id: int, times: dict[str, datetime]) -> None:
    """Once; who comes second (a snapshot that a kill broke off) changes nothing."""
    if not times or session.execute(select(exists().where(ZoneTime.campaign_id == campaign_id))).scalar_one():
        return
    rows = [{"campaign_id": campaign_id, "zone": zone, "due_at": due} for zone, due in times.items()]
    session.execute(insert(session, ZoneTime).on_conflict_do_nothing(), rows)


def forget(session: Session, campaign_id: int) -> None:
    session.execute(delete(ZoneTime).where(ZoneTime.campaign_id == campaign_id))

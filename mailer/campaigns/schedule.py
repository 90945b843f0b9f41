"""When a campaign goes out: now, at a time in a zone, at each member's local time; within which hours, and how many an hour.

A plan is what a person or program asks for. It is checked, then kept as wall time and zone: when a zone's rules change, the moment moves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from kairan import i18n, installation, walltime
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.walltime import Window
from mailer.campaigns import lifecycle
from mailer.campaigns.recurrence import Rule
from mailer.delivery import holds

AHEAD_MAX = timedelta(days=5 * 365)
WINDOW_MIN = 15
"""minutes: a lane that is under way needs one and a half to end"""
PER_HOUR_MAX = 10_000_000
UNDO = timedelta(seconds=lifecycle.UNDO_S)


class PlanWrong(ValueError):
    """It cannot be so: `field` of the plan, and a sentence for whoever asked."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Plan:
    """Neither `wall` nor `at`: now. `zone` is a name of the tz database."""

    zone: str
    wall: datetime | None = None
    at: datetime | None = None
    """a moment, from whoever gave an offset instead of a zone"""
    local_time: bool = False
    window: Window | None = None
    per_hour: int | None = None
    rule: Rule | None = None
    """recurring: a series; the times of day stand in the rule"""

    @property
    def is_now(self) -> bool:
        return self.wall is None and self.at is None and self.rule is None

    def starts_at(self, now: datetime) -> datetime:
        """When the first deliveries are written: for local times early enough for the zone whose day begins first."""
        if self.at is not None:
            return self.at
        if self.wall is None:
            return now
        return walltime.moment_of(self.wall, ZoneInfo(walltime.EARLIEST if self.local_time else self.zone))


def check(plan: Plan, now: datetime) -> None:
    """Raises PlanWrong."""
    if not walltime.is_zone(plan.zone):
        raise PlanWrong("zone", _("There is no time zone “%(zone)s”. Choose one such as Asia/Tokyo.", zone=plan.zone))
    if plan.local_time and plan.wall is None and plan.rule is None:
        raise PlanWrong("at", _("Enter the time of day at which each member gets it."))
    _check_time(plan, now)
    if plan.window is not None:
        _check_window(plan.window)
    if plan.per_hour is not None and not 1 <= plan.per_hour <= PER_HOUR_MAX:
        raise PlanWrong("per_hour", _("Mails an hour: a number from 1 to %(most)s.", most=i18n.number(PER_HOUR_MAX)))


def _check_time(plan: Plan, now: datetime) -> None:
    """A local time is over when it is over in the campaign's own zone: members without one get it there."""
    due, zone = plan.at, ZoneInfo(plan.zone)
    if plan.wall is not None:
        if not now.year - 1 <= plan.wall.year <= now.year + 6:
            due = now - UNDO if plan.wall.year < now.year else now + 2 * AHEAD_MAX
        else:
            due = walltime.moment_of(plan.wall, zone)
    if due is None:
        return
    if due <= now:
        here = i18n.moment(now, zone)
        raise PlanWrong("at", _("This time is over in %(zone)s, where it is %(now)s now. Choose a later time.", zone=plan.zone, now=here))
    if due > now + AHEAD_MAX:
        raise PlanWrong("at", _("That is more than five years ahead. Choose an earlier time."))


def _check_window(window: Window) -> None:
    if not window.days:
        raise PlanWrong("window", _("Choose at least one day of the week on which mail may go out."))
    if not 0 <= window.opens < window.closes <= 24 * 60 or window.closes - window.opens < WINDOW_MIN:
        raise PlanWrong("window", _("The hours must end at least %(count)s minutes after they begin, on the same day.", count=WINDOW_MIN))


def set_up(session: Session, campaign_id: int, plan: Plan, *, now: datetime, undo: bool) -> datetime:
    """draft → scheduled by a checked plan without a rule; returns when it starts. `undo`: not within the next minute, whatever the plan.

    Raises lifecycle.MoveRefused.
    """
    starts = max(plan.starts_at(now), now + UNDO if undo else now)
    lifecycle.schedule(
        session,
        campaign_id,
        starts,
        now=now,
        wall=walltime.written(plan.wall) if plan.wall else None,
        zone=plan.zone,
        local_time=plan.local_time,
        send_window=plan.window.as_document() if plan.window else None,
        per_hour=plan.per_hour,
    )
    return starts


def plan_of(campaign: Campaign, otherwise: str) -> Plan:
    """What a campaign was set up with."""
    return Plan(
        zone=holds.zone_or(campaign.due_zone, otherwise).key,
        wall=walltime.read(campaign.due_wall) if campaign.due_wall else None,
        at=campaign.due_at if campaign.due_at and not campaign.due_wall else None,
        local_time=campaign.local_time,
        window=walltime.window_of(campaign.send_window),
        per_hour=campaign.per_hour,
    )


def out_of_date(session: Session) -> dict[int, tuple[datetime, datetime]]:
    """Scheduled campaigns whose zone has other rules by now: id → (due as it stands, due by the rules of today). Reads only."""
    rows = session.execute(
        select(Campaign.id, Campaign.due_at, Campaign.due_wall, Campaign.due_zone).where(
            Campaign.status == CampaignStatus.SCHEDULED, Campaign.due_wall.is_not(None), Campaign.local_time.is_(False)
        )
    )
    moved = {}
    for number, due, wall, zone in rows:
        if not due or not wall or not walltime.is_zone(zone):
            continue
        by_rules = walltime.moment_of(walltime.read(wall), walltime.fresh(zone or ""))
        if not by_rules <= due <= by_rules + UNDO:
            moved[number] = (due, by_rules)
    return moved


def keep_wall_times(session: Session, *, now: datetime) -> list[int]:
    """What is out of date is due when its wall says so. Who changed it meanwhile wins."""
    moved = out_of_date(session)
    for number, (before, after) in moved.items():
        session.execute(
            update(Campaign)
            .where(Campaign.id == number, Campaign.status == CampaignStatus.SCHEDULED, Campaign.due_at == before)
            .values(due_at=after, updated_at=now)
        )
    return list(moved)


# ---- words


def why_waiting(session: Session, campaign: Campaign, now: datetime) -> str | None:
    """Why nothing of a campaign on its way goes out just now although nothing is wrong, in a sentence; None where it is not waiting."""
    if campaign.status != CampaignStatus.SENDING or not campaign.audience:
        return None
    until = holds.waits_until(session, campaign.id)
    if until is None or until <= now:
        return None
    zone = holds.zone_or(campaign.due_zone, installation.get(session, "time_zone"))
    when = _("%(time)s (%(zone)s)", time=i18n.moment(until, zone), zone=zone.key)
    asked = holds.of(session, campaign.id)
    if asked is not None and asked.opens_at(now) > now:
        return _("It waits for its send window, which opens on %(time)s.", time=when)
    if campaign.local_time and campaign.last_due_at and campaign.last_due_at > now:
        last = i18n.moment(campaign.last_due_at, zone)
        return _("Each member gets it at their local time: the next on %(time)s, the last on %(last)s.", time=when, last=last)
    if asked is not None and asked.window is not None and asked.window.local:
        return _("It is outside the send window of the members who are left; it goes on on %(time)s.", time=when)
    if asked is not None and asked.per_hour:
        return _("Not more than %(count)s mails an hour: it goes on on %(time)s.", count=i18n.number(asked.per_hour), time=when)
    return None


def goes_out_until(campaign: Campaign, now: datetime) -> datetime | None:
    """When the last members get a campaign by local time; None: it is not spread over a day, or that is over."""
    if campaign.last_due_at is None or campaign.last_due_at <= now or campaign.status != CampaignStatus.SENDING:
        return None
    return campaign.last_due_at


def members_over(session: Session, plan: Plan, now: datetime) -> int:
    """Members of all lists in whose zone the local time is over already: they would get it at once."""
    if not plan.local_time or plan.wall is None:
        return 0
    over = [name for name in _zones_in_use(session) if walltime.is_zone(name) and walltime.moment_of(plan.wall, ZoneInfo(name)) <= now]
    return int(session.execute(select(func.count()).where(Member.time_zone.in_(over))).scalar_one()) if over else 0


def _zones_in_use(session: Session) -> list[str]:
    found = session.execute(select(Member.time_zone).where(Member.time_zone.is_not(None)).distinct()).scalars()
    return [name for name in found if name]

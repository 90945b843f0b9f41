"""A series: a pattern (a draft), and the occurrences that the scheduler copies from it an hour before their time.

Each occurrence is a campaign of its own. What is changed in the pattern holds for those that are not made yet; an occurrence that is
made can be taken back and changed by itself. One that nobody made in time is missed: it is counted, and never sent late.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import dropwhile, islice, takewhile
from zoneinfo import ZoneInfo

from sqlalchemy import null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kairan import walltime
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignStatus, Series, SeriesState
from kairan.sql import locked
from mailer.campaigns import lifecycle, recurrence, schedule
from mailer.campaigns.lifecycle import MoveRefused
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan, PlanWrong

AHEAD = timedelta(hours=1)
"""before its start an occurrence is made: time to look at it, and to take it back"""
PASSES_MAX = 1_000
"""occurrences looked at in one transaction, for a scheduler that was off for years"""


def of(session: Session, campaign: Campaign) -> Series | None:
    """The series that the campaign is the pattern or an occurrence of."""
    return session.get(Series, campaign.series_id) if campaign.series_id else None


def is_pattern(campaign: Campaign) -> bool:
    return campaign.series_id is not None and campaign.occurrence is None


def check(plan: Plan, now: datetime) -> None:
    """Raises PlanWrong."""
    schedule.check(plan, now)
    if plan.rule is None:
        raise PlanWrong("recurring", _("Choose how often it goes out."))
    try:
        plan.rule.check()
    except recurrence.RuleWrong as wrong:
        raise PlanWrong(wrong.field, _rule_words(wrong.field)) from wrong
    if _following(plan.rule, plan.zone, plan.local_time, now) is None:
        raise PlanWrong("ends_on", _("No day is left on which it would go out. Choose a later end."))


def _rule_words(field: str) -> str:
    return {
        "every": _("Choose how often it goes out."),
        "interval": _("Every how many: a number from 1 to 99."),
        "days": _("Choose at least one day of the week."),
        "day": _("Choose a day of the month, 1 to 31 or the last, or the first to fourth or last of a day of the week."),
        "nth": _("Choose the first to fourth or the last, and a day of the week."),
        "ends_on": _("It would end before it begins. Choose a later end."),
        "count": _("How many times: a number from 1 to 1,000."),
    }[field]


def begin(session: Session, campaign_id: int, plan: Plan, *, now: datetime, by: int | None = None) -> Series:
    """A draft becomes the pattern of a series. `plan` was checked. Raises MoveRefused for what is no draft, or is in a series already."""
    campaign = session.execute(
        locked(select(Campaign).where(Campaign.id == campaign_id), session).execution_options(populate_existing=True)
    ).scalar_one()
    earlier = of(session, campaign)
    is_free = earlier is None or (is_pattern(campaign) and earlier.state == SeriesState.ENDED)
    if campaign.status != CampaignStatus.DRAFT or not is_free or plan.rule is None:
        raise MoveRefused(campaign.status, CampaignStatus.SCHEDULED)
    series = earlier or Series(pattern_id=campaign.id, rule={}, zone=plan.zone, created_by=by, created_at=now, updated_at=now, missed=0)
    series.state = SeriesState.ACTIVE
    session.add(series)
    session.flush()
    campaign.series_id = series.id
    _set(session, series, plan, now)
    return series


def change(session: Session, series_id: int, plan: Plan, *, now: datetime) -> None:
    """Another rule, zone, window or limit for what is not made yet. `plan` was checked. Raises MoveRefused for a series that has ended."""
    series = _held(session, series_id)
    if series.state == SeriesState.ENDED:
        raise MoveRefused(series.state, CampaignStatus.SCHEDULED)
    _set(session, series, plan, now)
    assert plan.rule is not None
    kept = {walltime.written(wall) for wall in islice(plan.rule.walls(), PASSES_MAX)}
    for made in session.execute(select(Campaign).where(Campaign.series_id == series_id, Campaign.occurrence.is_not(None))).scalars():
        if made.status == CampaignStatus.SCHEDULED and made.occurrence not in kept:
            lifecycle.cancel(session, made.id, now=now)  # else it would go out beside the one that takes its place


def _set(session: Session, series: Series, plan: Plan, now: datetime) -> None:
    rule = plan.rule
    assert rule is not None
    values = {
        "local_time": plan.local_time,
        "send_window": plan.window.as_document() if plan.window else null(),
        "per_hour": plan.per_hour,
        "due_zone": plan.zone,
    }
    session.execute(update(Campaign).where(Campaign.id == series.pattern_id).values(updated_at=now, **values))
    series.rule, series.zone, series.updated_at = rule.as_document(), plan.zone, now
    _look_ahead(series, rule, plan.local_time, now)
    session.flush()


def pause(session: Session, series_id: int, *, now: datetime) -> None:
    _turn(session, series_id, (SeriesState.ACTIVE,), SeriesState.PAUSED, now)


def resume(session: Session, series_id: int, *, now: datetime) -> None:
    """Goes on with the next occurrence; those of the time between are not made."""
    series = _turn(session, series_id, (SeriesState.PAUSED,), SeriesState.ACTIVE, now)
    _look_ahead(series, recurrence.rule_of(series.rule), session.get_one(Campaign, series.pattern_id).local_time, now)
    session.flush()


def end(session: Session, series_id: int, *, now: datetime) -> None:
    """Nothing more is made. What is made already stays as it is."""
    series = _turn(session, series_id, (SeriesState.ACTIVE, SeriesState.PAUSED), SeriesState.ENDED, now)
    series.next_wall = series.next_at = None
    session.flush()


def hold_all(session: Session, *, now: datetime) -> list[int]:
    """Of a restored database: all series pause until a person says that they go on."""
    found = session.execute(
        update(Series).where(Series.state == SeriesState.ACTIVE).values(state=SeriesState.PAUSED, updated_at=now).returning(Series.id)
    )
    return list(found.scalars())


def _turn(session: Session, series_id: int, before: Sequence[str], after: SeriesState, now: datetime) -> Series:
    series = _held(session, series_id)
    if series.state not in before:
        raise MoveRefused(series.state, CampaignStatus.PAUSED)
    series.state, series.updated_at = after, now
    return series


def _held(session: Session, series_id: int) -> Series:
    query = locked(select(Series).where(Series.id == series_id), session).execution_options(populate_existing=True)
    found: Series = session.execute(query).scalar_one()
    return found


# ---- what time brings


def due(session: Session, now: datetime) -> list[int]:
    """Series with an occurrence that is to be made by now."""
    query = select(Series.id).where(Series.state == SeriesState.ACTIVE, Series.next_at <= now + AHEAD)
    return list(session.execute(query.order_by(Series.id)).scalars())


def make_occurrence(session: Session, series_id: int, *, now: datetime) -> Campaign | None:
    """Copies the pattern for the occurrence whose time is near, and looks further; those that were missed are passed over.

    Of two schedulers the second finds the series' row moved on, and the unique key keeps it from a copy of its own. None: nothing made.
    """
    series = _held(session, series_id)
    pattern = session.get_one(Campaign, series.pattern_id)
    rule = recurrence.rule_of(series.rule)
    for _pass in range(PASSES_MAX):
        if series.state != SeriesState.ACTIVE or series.next_wall is None:
            return None
        if pattern.status == CampaignStatus.CANCELLED:
            series.state, series.next_wall, series.next_at = SeriesState.ENDED, None, None
            return None
        starts = starts_at(walltime.read(series.next_wall), series.zone, pattern.local_time)
        if starts > now + AHEAD:  # also where a zone has other rules by now
            series.next_at = starts
            return None
        wall, series.updated_at = series.next_wall, now
        _step(series, rule, pattern.local_time)
        if starts >= now - lifecycle.OCCURRENCE_LATE:
            return _copy(session, series, pattern, wall, starts, now)
        series.missed, series.missed_wall = series.missed + 1, wall
    return None


def _copy(session: Session, series: Series, pattern: Campaign, wall: str, starts: datetime, now: datetime) -> Campaign | None:
    name = f"{pattern.name[:189]} {wall[:10]}"
    try:
        with session.begin_nested():
            made = lifecycle.copy(session, pattern.id, name, now=now, by=series.created_by)
            made.series_id, made.occurrence = series.id, wall
            session.flush()
    except IntegrityError:
        return None
    lifecycle.schedule(
        session,
        made.id,
        starts,
        now=now,
        wall=wall,
        zone=series.zone,
        local_time=pattern.local_time,
        send_window=pattern.send_window,
        per_hour=pattern.per_hour,
    )
    session.refresh(made)
    return made


def starts_at(wall: datetime, zone: str, local_time: bool) -> datetime:
    return Plan(zone=zone, wall=wall, local_time=local_time).starts_at(wall)


def _look_ahead(series: Series, rule: Rule, local_time: bool, now: datetime) -> None:
    """The first occurrence that is neither over nor made."""
    following = _following(rule, series.zone, local_time, now)
    _point_at(series, following, local_time)


def _following(rule: Rule, zone: str, local_time: bool, now: datetime) -> datetime | None:
    """By local time too it is over when it is over in the campaign's own zone."""
    here = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    found = rule.after(here - timedelta(days=1))
    while found is not None and walltime.moment_of(found, ZoneInfo(zone)) <= now:
        found = rule.after(found)
    return found


def _step(series: Series, rule: Rule, local_time: bool) -> None:
    assert series.next_wall is not None
    _point_at(series, rule.after(walltime.read(series.next_wall)), local_time)


def _point_at(series: Series, wall: datetime | None, local_time: bool) -> None:
    if wall is None:
        series.state, series.next_wall, series.next_at = SeriesState.ENDED, None, None
        return
    series.next_wall = walltime.written(wall)
    series.next_at = starts_at(wall, series.zone, local_time)


# ---- what pages show


def coming(series: Series, most: int) -> list[datetime]:
    """Wall times of the occurrences that are not made yet."""
    if series.state != SeriesState.ACTIVE or series.next_wall is None:
        return []
    first = walltime.read(series.next_wall)
    return list(islice((wall for wall in recurrence.rule_of(series.rule).walls() if wall >= first), most))


def coming_within(series: Series, since: datetime, until: datetime, most: int) -> list[datetime]:
    """Those of them that may lie between two moments, to a day."""
    if series.state != SeriesState.ACTIVE or series.next_wall is None:
        return []
    first = max(walltime.read(series.next_wall), since.replace(tzinfo=None) - timedelta(days=1))
    last = until.replace(tzinfo=None) + timedelta(days=1)
    later = dropwhile(lambda wall: wall < first, recurrence.rule_of(series.rule).walls())
    return list(islice(takewhile(lambda wall: wall <= last, later), most))


def occurrences(session: Session, series_id: int, most: int = 50) -> list[Campaign]:
    """The latest first."""
    query = select(Campaign).where(Campaign.series_id == series_id, Campaign.occurrence.is_not(None))
    return list(session.execute(query.order_by(Campaign.occurrence.desc()).limit(most)).scalars())

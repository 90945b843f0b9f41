"""When a campaign goes out, as programs say and see it: a moment or a wall time in a zone, hours, pace, recurrence."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy.orm import Session

from kairan import installation, walltime
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, Series
from kairan.walltime import Window
from mailer.api.problems import wrong
from mailer.api.shapes import Given, Shown
from mailer.campaigns import schedule, series
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan, PlanWrong

_OF_RULE = ("every", "interval", "days", "day", "nth", "weekday", "ends_on", "count")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _moment(value: datetime) -> datetime:
    try:
        return value if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(_("This must be a time, such as 2026-11-24T09:00:00Z.")) from None


def _clock_time(value: str) -> str:
    try:
        walltime.minutes_of(value)
    except ValueError:
        raise ValueError(_("This is not a time of day such as 09:00.")) from None
    return value


def _zone(value: str) -> str:
    if not walltime.is_zone(value):
        raise ValueError(_("This is not a time zone such as Asia/Tokyo."))
    return value


When = Annotated[datetime, AfterValidator(_moment)]
"""with an offset, or without one and with a zone beside it"""
ClockTime = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}:[0-9]{2}$"), AfterValidator(_clock_time)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone)]


class Hours(Given):
    """Mail starts only in these hours of these days; outside them the rest waits. `local`: by each member's clock."""

    from_: ClockTime = Field(alias="from")
    until: ClockTime
    days: list[Day] = Field(default=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], max_length=7)
    local: bool = False


class Recurring(Given):
    """Each `interval` days, weeks (on `days`) or months (on `day`, -1 is the last; or on the `nth`, -1 is the last, `weekday`)."""

    every: Literal["day", "week", "month"]
    time: ClockTime
    interval: int = Field(1, ge=1, le=99)
    days: list[Day] = Field(default_factory=list, max_length=7)
    day: int | None = Field(None, ge=-1, le=31)
    nth: int | None = Field(None, ge=-1, le=4)
    weekday: Day | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    count: int | None = Field(None, ge=1, le=1_000)


class Send(Given):
    """`at`: when, with its offset, or as wall time with `zone`; without it at once. `local_time`: at that wall time of each member."""

    at: When | None = None
    zone: Zone | None = None
    local_time: bool = False
    window: Hours | None = None
    per_hour: int | None = Field(None, ge=1, le=schedule.PER_HOUR_MAX)
    recurring: Recurring | None = None


class HoursShown(Shown):
    from_: str = Field(serialization_alias="from")
    until: str
    days: list[Day]
    local: bool

    @classmethod
    def of(cls, document: dict[str, Any] | None) -> Self | None:
        if not document:
            return None
        return cls(from_=document["from"], until=document["until"], days=document["days"], local=document["local"])


class SeriesShown(Shown):
    id: str
    state: Literal["active", "paused", "ended"]
    zone: str
    next_at: datetime | None
    """when the next one that is not made yet starts"""
    missed: int
    every: Literal["day", "week", "month"]
    time: str
    interval: int
    days: list[Day]
    day: int | None
    nth: int | None
    weekday: Day | None
    starts_on: date
    ends_on: date | None
    count: int | None

    @classmethod
    def of(cls, row: Series) -> Self:
        said = row.rule
        dates = {name: date.fromisoformat(said[name]) if said[name] else None for name in ("starts_on", "ends_on")}
        rule = {name: said[name] for name in _OF_RULE} | {"time": said["at"]} | dates
        return cls(id=str(row.id), state=row.state, zone=row.zone, next_at=row.next_at, missed=row.missed, **rule)  # type: ignore[arg-type]


def shown(session: Session, campaign: Campaign) -> SeriesShown | None:
    row = series.of(session, campaign)
    return SeriesShown.of(row) if row else None


# ---- what is given


def plan_of(session: Session, body: Send, now: datetime) -> Plan:
    """Checked. Raises Problem."""
    if body.at is not None and body.at.tzinfo is None and body.zone is None:
        raise wrong("at", _("Give the time with its offset, such as 2026-11-24T09:00:00Z, or give a zone."))
    if body.recurring and body.at:
        raise wrong("at", _("A recurring campaign has its time in “recurring”; leave “at” out."))
    if body.local_time and body.at is not None and body.at.tzinfo is not None:
        raise wrong("at", _("Give the time without an offset: it is the time on each member's clock."))
    plan = _plan(body, body.zone or installation.get(session, "time_zone"), now)
    try:
        (series.check if plan.rule else schedule.check)(plan, now)
    except PlanWrong as problem:
        is_of_rule = problem.field in _OF_RULE
        raise wrong(f"recurring/{problem.field}" if is_of_rule else problem.field, problem.message) from problem
    return plan


def _plan(body: Send, zone: str, now: datetime) -> Plan:
    is_wall = body.at is not None and body.at.tzinfo is None
    return Plan(
        zone=zone,
        wall=body.at.replace(second=0, microsecond=0) if body.at and is_wall else None,
        at=None if is_wall else body.at,
        local_time=body.local_time,
        window=_window(body.window) if body.window else None,
        per_hour=body.per_hour,
        rule=_rule(body.recurring, zone, now) if body.recurring else None,
    )


def _window(given: Hours) -> Window:
    days = frozenset(walltime.DAYS.index(name) for name in given.days)
    return Window(walltime.minutes_of(given.from_), walltime.minutes_of(given.until), days, given.local)


def _rule(given: Recurring, zone: str, now: datetime) -> Rule:
    starts_on = given.starts_on or now.astimezone(ZoneInfo(zone)).date()
    if not 2000 <= starts_on.year <= 2200:
        raise wrong("recurring/starts_on", _("This must be a day, such as 2026-11-24."))
    return Rule(
        every=given.every,
        minutes=min(walltime.minutes_of(given.time), 24 * 60 - 1),
        starts_on=starts_on,
        interval=given.interval,
        days=frozenset(walltime.DAYS.index(name) for name in given.days),
        day=given.day,
        nth=given.nth,
        weekday=walltime.DAYS.index(given.weekday) if given.weekday else None,
        ends_on=given.ends_on,
        count=given.count,
    )

"""The calendar: what went out and what is scheduled, month by month, in the reader's time zone."""

from calendar import Calendar
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, get_day_names
from flask import Blueprint, abort, render_template, request
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from kairan import i18n, walltime
from kairan.models.campaigns import Campaign, CampaignStatus, Series, SeriesState
from mailer.campaigns import series
from mailer.web import edge

blueprint = Blueprint("campaign_calendar", __name__)
YEARS = (2000, 2199)
COMING_MAX = 70
"""of one series in what one month's grid shows"""
PAGES = {CampaignStatus.DRAFT: "/content", CampaignStatus.SENT: "", CampaignStatus.CANCELLED: ""}


@dataclass(frozen=True, slots=True)
class Entry:
    """One mail on one day."""

    at: datetime
    name: str
    status: str
    """of a campaign, or `coming`: of a series, and not made yet"""
    href: str


@blueprint.get("/campaigns/calendar")
@edge.allowed("campaign.view")
def show() -> str:
    zone = edge.zone()
    today = edge.now().astimezone(zone).date()
    month = _month(request.args.get("month", ""), today)
    weeks = Calendar(_first_weekday()).monthdatescalendar(month.year, month.month)
    with edge.reading() as session:
        entries = _by_day(_entries(session, _moment(weeks[0][0], zone), _moment(weeks[-1][-1] + timedelta(days=1), zone)), zone)
    return render_template(
        "admin/calendar.html",
        month=month,
        title=str(format_skeleton("yMMMM", month, locale=i18n.language())),
        weeks=weeks,
        entries=entries,
        today=today,
        day_names=_day_names(),
        day_title=lambda day: str(format_date(day, "full", locale=i18n.language())),
        clock=lambda moment: moment.astimezone(zone).strftime("%H:%M"),
        before=_link(month - timedelta(days=1)),
        after=_link(month + timedelta(days=31)),
        zone=zone.key,
    )


def _month(text: str, today: date) -> date:
    """Its first day."""
    try:
        found = datetime.strptime(text, "%Y-%m").date() if text else today.replace(day=1)
    except ValueError:
        abort(404)
    return found if YEARS[0] <= found.year <= YEARS[1] else abort(404)


def _link(day: date) -> str:
    return f"/campaigns/calendar?month={day:%Y-%m}"


def _first_weekday() -> int:
    """Of the week as readers of the language know it: 0 is Monday."""
    return int(Locale(i18n.language()).first_week_day)


def _day_names() -> list[tuple[str, str]]:
    """(short, whole) from the first day of the week on."""
    short, whole = (get_day_names(width, locale=i18n.language()) for width in ("abbreviated", "wide"))
    return [(short[(_first_weekday() + step) % 7], whole[(_first_weekday() + step) % 7]) for step in range(7)]


def _moment(day: date, zone: ZoneInfo) -> datetime:
    return walltime.moment_of(datetime.combine(day, time()), zone)


def _by_day(entries: Sequence[Entry], zone: ZoneInfo) -> dict[date, list[Entry]]:
    days: dict[date, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.at, entry.name)):
        days[entry.at.astimezone(zone).date()].append(entry)
    return dict(days)


def _entries(session: Session, since: datetime, until: datetime) -> list[Entry]:
    columns = Campaign.id, Campaign.name, Campaign.status, Campaign.started_at, Campaign.due_at, Campaign.due_wall, Campaign.due_zone
    near = or_(Campaign.started_at.between(since, until), Campaign.due_at.between(since - timedelta(days=2), until))
    rows = session.execute(select(*columns).where(Campaign.status != CampaignStatus.DRAFT, near).order_by(Campaign.id).limit(2_000))
    found = _coming(session, since, until)
    for number, name, status, started, due, wall, zone in rows:
        at = _when(started, due, wall, zone)
        if at is not None:
            found.append(Entry(at, name, status, f"/campaigns/{number}{PAGES.get(CampaignStatus(status), '/progress')}"))
    return [entry for entry in found if since <= entry.at < until]


def _when(started: datetime | None, due: datetime | None, wall: str | None, zone: str | None) -> datetime | None:
    """By local time it stands on the day that was asked for, not on the evening before, when the first zone has it."""
    if wall and zone and walltime.is_zone(zone):
        return walltime.moment_of(walltime.read(wall), ZoneInfo(zone))
    return started or due


def _coming(session: Session, since: datetime, until: datetime) -> list[Entry]:
    active = select(Series, Campaign.name).join(Campaign, Campaign.id == Series.pattern_id).where(Series.state == SeriesState.ACTIVE)
    found = []
    for row, name in session.execute(active.order_by(Series.id).limit(200)):
        for wall in series.coming_within(row, since, until, COMING_MAX):
            found.append(Entry(walltime.moment_of(wall, ZoneInfo(row.zone)), name, "coming", f"/campaigns/series/{row.id}"))
    return found

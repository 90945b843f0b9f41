"""Opens and clicks over time, as lines: the first 48 hours, or all time by hours or by days of the reader's calendar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.i18n import number
from mailer.reports import charts
from mailer.reports.charts import Series

FIRST, HOURS, DAYS = "48h", "hours", "days"
SPANS = (FIRST, HOURS, DAYS)
FIRST_HOURS = 48
HOURS_MAX = 14 * 24
"""by hours a line of more than two weeks is a hedge"""
DAYS_MAX = 400
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Curve:
    """First opens and first clicks by people, a value for each label."""

    labels: list[str]
    opens: list[int]
    clicks: list[int]
    ticks: list[str]
    """as labels, empty where a chart has no room for one"""
    is_cut: bool = False
    """there is more than is shown"""

    @property
    def is_empty(self) -> bool:
        return not any(self.opens) and not any(self.clicks)


def curve(started_at: datetime, by_hour: Sequence[Mapping[str, Any]], span: str, zone: tzinfo) -> Curve:
    """From what mailer.reports.summary gives. Raises KeyError for a span that is none of SPANS."""
    if span == DAYS:
        return _by_days(started_at, by_hour, zone)
    return {FIRST: _first_hours, HOURS: _by_hours}[span](started_at, by_hour, zone)


def first_hours(started_at: datetime, by_hour: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """First opens and first clicks in each of the first 48 hours."""
    start = _hour(started_at)
    return _filled(by_hour, FIRST_HOURS, lambda found: int((found["hour"] - start) / HOUR))


def _first_hours(started_at: datetime, by_hour: Sequence[Mapping[str, Any]], _zone: tzinfo) -> Curve:
    labels = [_("+%(count)s h", count=place) for place in range(FIRST_HOURS)]
    return Curve(labels, *first_hours(started_at, by_hour), _every(labels, 6))


def _by_hours(started_at: datetime, by_hour: Sequence[Mapping[str, Any]], zone: tzinfo) -> Curve:
    """Hours are counted in UTC, so the hour that a clock repeats stands there twice, each for itself."""
    start = _hour(started_at)
    last = max((found["hour"] for found in by_hour), default=start)
    wanted = max(int((last - start) / HOUR) + 1, 2)
    count = min(wanted, HOURS_MAX)
    opens, clicks = _filled(by_hour, count, lambda found: int((found["hour"] - start) / HOUR))
    moments = [start + place * HOUR for place in range(count)]
    labels = [i18n.moment(moment, zone) for moment in moments]
    days = [i18n.day(moment, zone) for moment in moments]
    ticks = [day if place == 0 or day != days[place - 1] else "" for place, day in enumerate(days)]
    return Curve(labels, opens, clicks, _thinned(ticks), wanted > count)


def _by_days(started_at: datetime, by_hour: Sequence[Mapping[str, Any]], zone: tzinfo) -> Curve:
    """Days of the reader's calendar: one of 23 or 25 hours counts as the day it is."""
    first = started_at.astimezone(zone).date()
    last = max((found["hour"].astimezone(zone).date() for found in by_hour), default=first)
    wanted = max((last - first).days + 1, 2)
    count = min(wanted, DAYS_MAX)
    opens, clicks = _filled(by_hour, count, lambda found: (max(found["hour"], started_at).astimezone(zone).date() - first).days)
    noons = [datetime(first.year, first.month, first.day, 12, tzinfo=UTC) + timedelta(days=place) for place in range(count)]
    labels = [i18n.date(noon, UTC) for noon in noons]
    return Curve(labels, opens, clicks, _thinned([i18n.day(noon, UTC) for noon in noons]), wanted > count)


def _filled(by_hour: Sequence[Mapping[str, Any]], count: int, place_of: Any) -> tuple[list[int], list[int]]:
    opens, clicks = [0] * count, [0] * count
    for found in by_hour:
        if 0 <= (place := place_of(found)) < count:
            opens[place] += found["opens"]["unique"]
            clicks[place] += found["clicks"]["unique"]
    return opens, clicks


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _every(labels: Sequence[str], step: int) -> list[str]:
    return [label if place % step == 0 else "" for place, label in enumerate(labels)]


def _thinned(ticks: Sequence[str], most: int = 8) -> list[str]:
    """At most so many of those that are not empty."""
    named = [place for place, tick in enumerate(ticks) if tick]
    kept = set(named[:: -(-len(named) // most) or 1])
    return [tick if place in kept else "" for place, tick in enumerate(ticks)]


def drawn(found: Curve, span: str) -> dict[str, Any]:
    """The chart, its key and its figures as a table."""
    series = [Series(_("Opened or previewed"), found.opens), Series(_("Clicked"), found.clicks)]
    best = max(range(len(found.opens)), key=found.opens.__getitem__)
    title = {
        FIRST: _("Members who opened or previewed, and who clicked, for the first time, by hour after the start"),
        HOURS: _("Members who opened or previewed, and who clicked, for the first time, by hour"),
        DAYS: _("Members who opened or previewed, and who clicked, for the first time, by day"),
    }[span]
    described = _("Most opened at %(label)s: %(count)s.", label=found.labels[best], count=number(found.opens[best]))
    column = _("Day") if span == DAYS else _("Hour")
    return {
        "key": charts.key(series),
        "svg": charts.line_chart(series, found.ticks, title=title, description=described, name="hours"),
        "table": charts.figures(series, found.labels, caption=title, first_column=column),
        "is_empty": found.is_empty,
        "is_cut": found.is_cut,
    }

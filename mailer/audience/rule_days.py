"""The days that a segment's rule speaks of, counted in one zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mailer.audience.rules import Leaf

YEAR_DAYS = 365


@dataclass(frozen=True, slots=True)
class At:
    """What a rule is asked on: a moment, and the zone whose days count."""

    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def begins(self, day: date) -> datetime:
        """The first moment of a day."""
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)


def days(leaf: Leaf, today: date) -> tuple[date | None, date | None]:
    """The first and the last day that fit; None: without end."""
    one = timedelta(days=1)
    if leaf.op in ("on", "before", "after"):
        day: date = leaf.value
        return {"on": (day, day), "before": (None, day - one), "after": (day + one, None)}[leaf.op]
    other = today + leaf.value * (one if leaf.op == "in_next" else -one)
    return {"in_next": (today, other), "in_last": (other, today), "older_than": (None, other - one)}[leaf.op]


def anniversaries(today: date, within: int) -> list[tuple[str, str]]:
    """From first to last, as month and day `02-28`: what comes round from today until so many days later, over the end of the year too.

    Who was born on 29 February has the 28th in a year without one.
    """
    if within >= YEAR_DAYS:
        return [("01-01", "12-31")]
    last = today + timedelta(days=within)
    first_day, last_day = today.strftime("%m-%d"), last.strftime("%m-%d")
    if last_day == "02-28" and (last + timedelta(days=1)).month == 3:
        last_day = "02-29"
    return [(first_day, last_day)] if last.year == today.year else [(first_day, "12-31"), ("01-01", last_day)]

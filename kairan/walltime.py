"""Wall time and UTC: what people mean by "9:00 in Tokyo", on days when clocks change too, and hours in which mail may go out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

EARLIEST = "Etc/GMT-14"
"""UTC+14: no zone's day begins before this one's"""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE = timedelta(minutes=1)
_DAY_MINUTES = 24 * 60


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """UTC. A wall time that a clock change skips becomes the next minute there is; of one that comes twice, the first."""
    wall = wall.replace(tzinfo=None)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    return _after_gap(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _after_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The clock jumps between these two moments: the first full minute on the wall from the jump on."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle <= before:
            break
        before, after = (before, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, after)
    wall = after.astimezone(zone)
    return after + (_MINUTE - timedelta(seconds=wall.second) if wall.second else timedelta())


def read(wall: str) -> datetime:
    """`2026-11-24T09:00`, as campaigns keep it. Raises ValueError."""
    return datetime.strptime(wall, "%Y-%m-%dT%H:%M")


def written(wall: datetime) -> str:
    return wall.strftime("%Y-%m-%dT%H:%M").rjust(16, "0")


@cache
def zones() -> tuple[str, ...]:
    """Names of places, as people know them, and UTC; without the historical shorthands such as EST5EDT."""
    continents = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    return ("UTC", *sorted(name for name in available_timezones() if name.split("/")[0] in continents and "/" in name))


@cache
def every_zone() -> frozenset[str]:
    """Also those one would not offer, but a member's row may name."""
    return frozenset(available_timezones())


def is_zone(name: str | None) -> bool:
    return name in every_zone()


def fresh(name: str) -> ZoneInfo:
    """Read from the disk again: the rules may have been changed since this process began."""
    return ZoneInfo.no_cache(name)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours in which mail may start: from `opens` until `closes` (minutes of the day), on some days of the week (0 is Monday)."""

    opens: int
    closes: int
    days: frozenset[int] = frozenset(range(7))
    local: bool = False
    """by the clock of each member; else by the campaign's"""

    def next_open(self, at: datetime, zone: ZoneInfo, *, early: timedelta = timedelta()) -> datetime:
        """`at` itself while it is open, else when it opens. `early`: it counts as closed so long before it closes."""
        today = at.astimezone(zone).date()
        for ahead in range(-1, 9):
            day = today + timedelta(days=ahead)
            if day.weekday() not in self.days:
                continue
            opens, closes = self._moment(day, self.opens, zone), self._moment(day, self.closes, zone) - early
            if closes > at and closes > opens:
                return max(opens, at)
        return at  # a week of days that the clock skips: there is no such zone, and mail must not wait for ever

    @staticmethod
    def _moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
        return moment_of(datetime.combine(day, time()) + timedelta(minutes=minutes), zone)

    def as_document(self) -> dict[str, Any]:
        """As it is kept in a row and shown by the API."""
        return {"from": clock_time(self.opens), "until": clock_time(self.closes), "days": day_names(self.days), "local": self.local}


def window_of(document: dict[str, Any] | None) -> Window | None:
    if not document:
        return None
    days = frozenset(DAYS.index(name) for name in document["days"])
    return Window(minutes_of(document["from"]), minutes_of(document["until"]), days, bool(document.get("local")))


def minutes_of(text: str) -> int:
    """`08:30` as minutes of the day; `24:00` is its end. Raises ValueError."""
    hours, colon, minutes = text.partition(":")
    if not colon or not (hours + minutes).isdecimal() or len(minutes) != 2 or int(minutes) > 59:
        raise ValueError(f"no time of day: {text!r}")
    found = int(hours) * 60 + int(minutes)
    if found > _DAY_MINUTES:
        raise ValueError(f"no time of day: {text!r}")
    return found


def clock_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def day_names(days: Iterable[int]) -> list[str]:
    return [DAYS[day] for day in sorted(days)]

"""On which days something recurs: daily, weekly on some days, monthly on a day or on the n-th weekday. Wall time only; no zones here."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import count as counting
from typing import Any

from kairan import walltime

EVERY = ("day", "week", "month")
LAST = -1
YEARS_MAX = 100
"""a rule that meets no day in so many years meets none"""


class RuleWrong(ValueError):
    """`field` of the rule cannot be."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Rule:
    """`day` counts from 1; a month that is too short takes its last day, and LAST is always that. `nth` 1-4 or LAST, of `weekday`."""

    every: str
    minutes: int
    """of the day"""
    starts_on: date
    interval: int = 1
    days: frozenset[int] = frozenset()
    """weekly: 0 is Monday"""
    day: int | None = None
    nth: int | None = None
    weekday: int | None = None
    ends_on: date | None = None
    count: int | None = None

    def check(self) -> None:
        """Raises RuleWrong."""
        wrong = {
            "every": self.every not in EVERY,
            "interval": not 1 <= self.interval <= 99,
            "days": self.every == "week" and (not self.days or not self.days <= frozenset(range(7))),
            "day": self.every == "month" and (self.day is None) == (self.nth is None),
            "ends_on": self.ends_on is not None and self.ends_on < self.starts_on,
            "count": self.count is not None and not 1 <= self.count <= 1_000,
        }
        wrong["day"] |= self.day is not None and self.day != LAST and not 1 <= self.day <= 31
        wrong["nth"] = self.nth is not None and (self.nth not in (1, 2, 3, 4, LAST) or self.weekday not in range(7))
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise RuleWrong(name)

    def walls(self) -> Iterator[datetime]:
        """All occurrences in their order, naive."""
        at = time(self.minutes // 60, self.minutes % 60)
        for number, day in enumerate(self._days_from_start()):
            if (self.ends_on and day > self.ends_on) or (self.count and number >= self.count):
                return
            yield datetime.combine(day, at)

    def after(self, wall: datetime) -> datetime | None:
        """The first occurrence later than this wall time; None: it is over."""
        return next((found for found in self.walls() if found > wall), None)

    def _days_from_start(self) -> Iterator[date]:
        found = {"day": self._daily, "week": self._weekly, "month": self._monthly}[self.every]()
        last = date(min(self.starts_on.year + YEARS_MAX, 9998), 1, 1)
        for day in found:
            if day > last:
                return
            if day >= self.starts_on:
                yield day

    def _daily(self) -> Iterator[date]:
        return (self.starts_on + timedelta(days=self.interval * step) for step in counting())

    def _weekly(self) -> Iterator[date]:
        monday = self.starts_on - timedelta(days=self.starts_on.weekday())
        for step in counting():
            for day in sorted(self.days):
                yield monday + timedelta(days=7 * self.interval * step + day)

    def _monthly(self) -> Iterator[date]:
        for step in counting():
            months = self.starts_on.month - 1 + self.interval * step
            yield self._day_in(self.starts_on.year + months // 12, months % 12 + 1)

    def _day_in(self, year: int, month: int) -> date:
        first, length = calendar.monthrange(year, month)
        if self.nth is None:
            day = self.day or 1
            return date(year, month, length if day == LAST else min(day, length))
        ahead = ((self.weekday or 0) - first) % 7
        if self.nth != LAST:
            return date(year, month, 1 + ahead + 7 * (self.nth - 1))
        return date(year, month, 1 + ahead + (length - 1 - ahead) // 7 * 7)

    def as_document(self) -> dict[str, Any]:
        """As it is kept in a row and shown by the API."""
        return {
            "every": self.every,
            "interval": self.interval,
            "at": walltime.clock_time(self.minutes),
            "days": walltime.day_names(self.days),
            "day": self.day,
            "nth": self.nth,
            "weekday": None if self.weekday is None else walltime.DAYS[self.weekday],
            "starts_on": self.starts_on.isoformat(),
            "ends_on": self.ends_on.isoformat() if self.ends_on else None,
            "count": self.count,
        }


def rule_of(document: dict[str, Any]) -> Rule:
    return Rule(
        every=document["every"],
        minutes=walltime.minutes_of(document["at"]),
        starts_on=date.fromisoformat(document["starts_on"]),
        interval=document["interval"],
        days=frozenset(walltime.DAYS.index(name) for name in document["days"]),
        day=document["day"],
        nth=document["nth"],
        weekday=None if document["weekday"] is None else walltime.DAYS.index(document["weekday"]),
        ends_on=date.fromisoformat(document["ends_on"]) if document["ends_on"] else None,
        count=document["count"],
    )

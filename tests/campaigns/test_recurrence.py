"""A rule gives the days that python-dateutil's rrule gives for the same words, and ends where it says."""

from datetime import date, datetime
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.campaigns.recurrence import LAST, Rule, RuleWrong, rule_of

rrule = pytest.importorskip("dateutil.rrule")

starts = st.dates(date(2020, 1, 1), date(2030, 12, 31))
intervals = st.integers(1, 5)


def _same(rule: Rule, other: object) -> None:
    rule.check()
    assert rule_of(rule.as_document()) == rule
    assert list(islice(rule.walls(), 40)) == list(islice(other, 40))  # type: ignore[call-overload]


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, 30)


@given(starts, intervals, st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_daily(day: date, interval: int, count: int) -> None:
    rule = Rule("day", 570, day, interval=interval, count=count)

    _same(rule, rrule.rrule(rrule.DAILY, dtstart=_begin(day), interval=interval, count=count))


@given(starts, intervals, st.frozensets(st.integers(0, 6), min_size=1))
@settings(deadline=None, max_examples=60)
def test_weekly_on_some_days(day: date, interval: int, days: frozenset[int]) -> None:
    rule = Rule("week", 570, day, interval=interval, days=days)

    _same(rule, rrule.rrule(rrule.WEEKLY, dtstart=_begin(day), interval=interval, byweekday=sorted(days)))


@given(starts, intervals, st.integers(1, 31))
@settings(deadline=None, max_examples=60)
def test_monthly_on_a_day_and_on_the_last_where_a_month_is_shorter(day: date, interval: int, wanted: int) -> None:
    rule = Rule("month", 570, day, interval=interval, day=wanted)
    days = [wanted] if wanted <= 28 else list(range(28, wanted + 1))

    _same(rule, rrule.rrule(rrule.MONTHLY, dtstart=_begin(day), interval=interval, bymonthday=days, bysetpos=-1))


@given(starts, intervals, st.sampled_from([1, 2, 3, 4, LAST]), st.integers(0, 6))
@settings(deadline=None, max_examples=80)
def test_monthly_on_the_nth_or_last_weekday(day: date, interval: int, nth: int, weekday: int) -> None:
    rule = Rule("month", 570, day, interval=interval, nth=nth, weekday=weekday)

    _same(rule, rrule.rrule(rrule.MONTHLY, dtstart=_begin(day), interval=interval, byweekday=rrule.weekday(weekday)(nth)))


def test_the_last_day_of_each_month() -> None:
    rule = Rule("month", 0, date(2027, 12, 31), day=LAST)

    assert [wall.date().isoformat() for wall in islice(rule.walls(), 3)] == ["2027-12-31", "2028-01-31", "2028-02-29"]


def test_a_rule_ends_on_its_last_day_and_after_its_number_of_times() -> None:
    until = Rule("day", 570, date(2026, 11, 24), ends_on=date(2026, 11, 26))
    times = Rule("week", 570, date(2026, 11, 24), days=frozenset({1, 3}), count=3)

    assert [wall.day for wall in until.walls()] == [24, 25, 26]
    assert [wall.day for wall in times.walls()] == [24, 26, 1]
    assert until.after(datetime(2026, 11, 26, 9, 30)) is None


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("every", Rule("year", 0, date(2026, 1, 1))),
        ("interval", Rule("day", 0, date(2026, 1, 1), interval=0)),
        ("days", Rule("week", 0, date(2026, 1, 1))),
        ("day", Rule("month", 0, date(2026, 1, 1))),
        ("day", Rule("month", 0, date(2026, 1, 1), day=32)),
        ("day", Rule("month", 0, date(2026, 1, 1), day=1, nth=1, weekday=0)),
        ("nth", Rule("month", 0, date(2026, 1, 1), nth=5, weekday=0)),
        ("nth", Rule("month", 0, date(2026, 1, 1), nth=1)),
        ("ends_on", Rule("day", 0, date(2026, 1, 2), ends_on=date(2026, 1, 1))),
        ("count", Rule("day", 0, date(2026, 1, 1), count=0)),
    ],
)
def test_a_rule_that_cannot_be_names_the_field(field: str, rule: Rule) -> None:
    with pytest.raises(RuleWrong) as wrong:
        rule.check()

    assert wrong.value.field == field

"""What the clock on the wall says is one moment, in every zone and on every day on which clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairan import walltime
from kairan.walltime import Window, moment_of

MINUTE = timedelta(minutes=1)


def _changes(zone: ZoneInfo, first: int = 2005, last: int = 2030) -> Iterator[datetime]:
    """UTC moments, to the hour, after which the clock shows another offset."""
    at = datetime(first, 1, 1, tzinfo=UTC)
    while at.year < last:
        later = at + timedelta(days=7)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            hour = at
            while hour.astimezone(zone).utcoffset() == (hour + timedelta(hours=1)).astimezone(zone).utcoffset():
                hour += timedelta(hours=1)
            yield hour
        at = later


CHANGES = {name: changes for name in walltime.zones() if (changes := list(_changes(ZoneInfo(name), 2024, 2028)))}


def _by_search(wall: datetime, zone: ZoneInfo) -> datetime:
    """The slow and plain way: the first UTC minute at which the wall shows it, or, in a gap, the next minute that is shown."""
    while True:
        begin = wall.replace(tzinfo=UTC) - timedelta(hours=26)
        fitting = [
            begin + hours
            for hours in (timedelta(minutes=15 * quarter) for quarter in range(26 * 4 * 2))
            if (begin + hours).astimezone(zone).replace(tzinfo=None) == wall
        ]
        if fitting:
            return fitting[0]
        wall += MINUTE


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_around_every_change_of_clocks_a_wall_time_is_the_first_minute_that_shows_it_or_the_next_there_is(data: st.DataObject) -> None:
    zone = ZoneInfo(data.draw(st.sampled_from(sorted(CHANGES))))
    change = data.draw(st.sampled_from(CHANGES[zone.key]))
    wall = change.astimezone(zone).replace(tzinfo=None) + data.draw(st.integers(-180, 180)) * MINUTE

    assert moment_of(wall, zone) == _by_search(wall, zone)


@given(st.sampled_from(walltime.zones()), st.datetimes(datetime(1990, 1, 1), datetime(2045, 1, 1)))
@settings(deadline=None, max_examples=400)
def test_any_wall_time_of_any_zone_comes_back_as_it_was_or_as_a_later_minute_where_it_does_not_exist(name: str, wall: datetime) -> None:
    wall, zone = wall.replace(second=0, microsecond=0), ZoneInfo(name)

    shown = moment_of(wall, zone).astimezone(zone)

    assert shown.second == 0
    assert wall <= shown.replace(tzinfo=None) <= wall + timedelta(hours=24)
    if shown.replace(tzinfo=None) == wall:
        assert shown.fold == 0


def test_a_day_that_a_zone_left_out_becomes_the_next() -> None:
    skipped = datetime(2011, 12, 30, 0, 0)  # Samoa went over the date line

    assert moment_of(skipped, ZoneInfo("Pacific/Apia")) == datetime(2011, 12, 30, 10, 0, tzinfo=UTC)


@given(st.sampled_from(walltime.zones()), st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))
@settings(deadline=None, max_examples=200)
def test_a_window_opens_on_a_chosen_day_between_its_hours_and_nothing_is_open_before(name: str, at: datetime) -> None:
    zone, moment = ZoneInfo(name), at.replace(tzinfo=UTC)
    window = Window(8 * 60, 20 * 60, frozenset({0, 1, 2, 3, 4}))

    opens = window.next_open(moment, zone)

    shown = opens.astimezone(zone)
    assert opens >= moment
    assert shown.weekday() < 5 and 8 <= shown.hour < 20
    if opens > moment:
        assert (shown.hour, shown.minute) == (8, 0)
        assert all(
            (step.weekday() > 4 or not 8 <= step.hour < 20)
            for step in ((moment + timedelta(minutes=7 * number)).astimezone(zone) for number in range(600))
            if step < shown
        )


def test_a_window_counts_as_closed_early_for_what_takes_a_while() -> None:
    zone, window = ZoneInfo("Asia/Tokyo"), Window(8 * 60, 20 * 60)
    late = datetime(2026, 11, 24, 10, 59, tzinfo=UTC)  # 19:59 in Tokyo

    assert window.next_open(late, zone) == late
    assert window.next_open(late, zone, early=timedelta(seconds=90)) == datetime(2026, 11, 24, 23, 0, tzinfo=UTC)


def test_a_window_is_kept_as_it_was_said() -> None:
    window = Window(8 * 60 + 30, 24 * 60, frozenset({0, 6}), local=True)

    assert window.as_document() == {"from": "08:30", "until": "24:00", "days": ["mon", "sun"], "local": True}
    assert walltime.window_of(window.as_document()) == window


@pytest.mark.parametrize("text", ["", "8", "8:3", "24:01", "08:60", "aa:bb", "-1:00", "08:00:00"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        walltime.minutes_of(text)

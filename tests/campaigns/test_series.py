"""A series makes each of its occurrences once, an hour ahead, as a campaign of its own; a missed one is never sent late by itself."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from kairan import clock, installation
from kairan.models.campaigns import Campaign, CampaignStatus, Series, SeriesState
from kairan.runtime import Runtime
from mailer.campaigns import jobs, lifecycle, revisions, schedule, series
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan, PlanWrong
from tests.support import ground as make

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
"""Tuesday noon in Tokyo"""


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(clock, "now", found)
    return found


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path, now: Clock) -> Iterator[Runtime]:
    with make.running(make.make_settings(database_url, tmp_path, redis=valkey, smtp="smtp://127.0.0.1:1")) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


DAILY = Plan(zone="Asia/Tokyo", rule=Rule("day", 9 * 60, date(2026, 11, 24)))


@pytest.fixture
def begin(ground: Runtime, now: Clock) -> Callable[..., int]:
    def make_one(plan: Plan = DAILY) -> int:
        with ground.writing() as session:
            into = make.make_list(session)
            make.make_members(session, 3, into)
            campaign = make.make_campaign(session, into)
            series.check(plan, now())
            return series.begin(session, campaign.id, plan, now=now()).id

    return make_one


def _made(ground: Runtime) -> list[tuple[str | None, str]]:
    with ground.reading() as session:
        query = select(Campaign.occurrence, Campaign.status).where(Campaign.occurrence.is_not(None)).order_by(Campaign.occurrence)
        return [(row[0], row[1]) for row in session.execute(query)]


def _series(ground: Runtime, series_id: int) -> Series:
    with ground.reading() as session:
        return session.get_one(Series, series_id)


def _tokyo(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - timedelta(hours=9)


def test_an_occurrence_is_made_an_hour_ahead_and_is_a_campaign_of_its_own(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    series_id = begin()
    now.at = _tokyo(25, 7, 59)
    jobs.tick(ground)
    assert _made(ground) == []

    now.at = _tokyo(25, 8, 0)
    jobs.tick(ground)
    jobs.tick(ground)

    assert _made(ground) == [("2026-11-25T09:00", "scheduled")]
    with ground.reading() as session:
        made = session.execute(select(Campaign).where(Campaign.occurrence.is_not(None))).scalar_one()
        assert (made.name, made.series_id, made.due_at) == ("Autumn 2026-11-25", series_id, _tokyo(25, 9))
        assert revisions.current(session, made).subject == "Autumn news"
        assert lifecycle.reach_of(session, made).lists
        assert session.get_one(Campaign, _series(ground, series_id).pattern_id).status == CampaignStatus.DRAFT
    now.at = _tokyo(25, 9, 0)
    jobs.start_due()
    assert _made(ground) == [("2026-11-25T09:00", "sending")]


def test_two_schedulers_at_once_make_one_occurrence(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    begin()
    now.at = _tokyo(25, 8, 30)
    gate = threading.Barrier(4)

    def run() -> None:
        gate.wait()
        jobs.make_occurrences(ground)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _made(ground) == [("2026-11-25T09:00", "scheduled")]


def test_a_missed_occurrence_is_counted_and_not_made_and_the_next_one_is(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    series_id = begin()

    now.at = _tokyo(28, 10, 1)
    jobs.tick(ground)

    assert _made(ground) == []
    found = _series(ground, series_id)
    assert (found.missed, found.missed_wall, found.next_wall) == (4, "2026-11-28T09:00", "2026-11-29T09:00")
    now.at = _tokyo(29, 8, 10)
    jobs.tick(ground)
    assert _made(ground) == [("2026-11-29T09:00", "scheduled")]


def test_one_that_was_made_and_whose_start_was_missed_waits_for_a_person(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    begin()
    now.at = _tokyo(25, 8, 0)
    jobs.tick(ground)

    now.at = _tokyo(25, 10, 1)
    jobs.start_due()

    with ground.reading() as session:
        made = session.execute(select(Campaign).where(Campaign.occurrence.is_not(None))).scalar_one()
        assert (made.status, made.paused_reason, made.audience) == ("paused", "missed", 0)


def test_a_change_of_the_pattern_is_in_the_next_and_a_change_of_the_rule_moves_it(
    ground: Runtime, begin: Callable[..., int], now: Clock
) -> None:
    series_id = begin()
    now.at = _tokyo(25, 8, 0)
    jobs.tick(ground)
    pattern = _series(ground, series_id).pattern_id
    with ground.writing() as session:
        revisions.save(session, pattern, 1, {"subject": "Winter news"}, now=now())
        later = Plan(zone="Asia/Tokyo", rule=Rule("day", 10 * 60, date(2026, 11, 24), count=5), per_hour=60)
        series.change(session, series_id, later, now=now())

    now.at = _tokyo(25, 9, 0)
    jobs.tick(ground)

    assert _made(ground) == [("2026-11-25T09:00", "cancelled"), ("2026-11-25T10:00", "scheduled")]
    with ground.reading() as session:
        made = session.execute(select(Campaign).where(Campaign.occurrence == "2026-11-25T10:00")).scalar_one()
        assert (revisions.current(session, made).subject, made.per_hour) == ("Winter news", 60)


def test_a_paused_series_makes_nothing_and_goes_on_with_what_comes_then(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    series_id = begin()
    with ground.writing() as session:
        series.pause(session, series_id, now=now())
    now.at = _tokyo(26, 9, 30)
    jobs.tick(ground)

    with ground.writing() as session:
        series.resume(session, series_id, now=now())
    jobs.tick(ground)

    found = _series(ground, series_id)
    assert (_made(ground), found.missed, found.next_wall) == ([], 0, "2026-11-27T09:00")


def test_a_series_ends_when_its_rule_does_and_when_somebody_ends_it(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    series_id = begin(Plan(zone="Asia/Tokyo", rule=Rule("day", 540, date(2026, 11, 25), count=2)))
    for day in (25, 26):
        now.at = _tokyo(day, 8, 30)
        jobs.tick(ground)

    assert [wall for wall, _status in _made(ground)] == ["2026-11-25T09:00", "2026-11-26T09:00"]
    assert _series(ground, series_id).state == SeriesState.ENDED
    with pytest.raises(lifecycle.MoveRefused), ground.writing() as session:
        series.end(session, series_id, now=now())
    with ground.writing() as session:  # its pattern may begin anew
        series.begin(session, _series(ground, series_id).pattern_id, DAILY, now=now())
        series.end(session, series_id, now=now())
    assert _series(ground, series_id).next_at is None


def test_by_local_time_an_occurrence_starts_with_the_first_zone_of_the_earth(
    ground: Runtime, begin: Callable[..., int], now: Clock
) -> None:
    series_id = begin(Plan(zone="Asia/Tokyo", local_time=True, rule=DAILY.rule))

    assert _series(ground, series_id).next_at == datetime(2026, 11, 24, 19, 0, tzinfo=UTC)
    now.at = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    jobs.tick(ground)
    with ground.reading() as session:
        made = session.execute(select(Campaign).where(Campaign.occurrence.is_not(None))).scalar_one()
        assert (made.local_time, made.due_wall, made.due_zone) == (True, "2026-11-25T09:00", "Asia/Tokyo")


def test_one_that_the_check_finds_wrong_waits_for_a_person_and_is_scheduled_again_by_them(
    ground: Runtime, begin: Callable[..., int], now: Clock
) -> None:
    begin()
    with ground.writing() as session:
        installation.put(session, "organisation", {"name": "", "address": "", "contact": ""}, now=now())
    now.at = _tokyo(25, 8, 0)
    jobs.tick(ground)

    with ground.reading() as session:
        made = session.execute(select(Campaign).where(Campaign.occurrence.is_not(None))).scalar_one()
        assert (made.status, made.paused_reason) == ("paused", "findings")
        assert "who sends it" in (made.paused_detail or "")
    with ground.writing() as session:
        lifecycle.resume(session, made.id, now=now())
    assert _made(ground) == [("2026-11-25T09:00", "scheduled")]


def test_a_pattern_is_not_sent_itself(ground: Runtime, begin: Callable[..., int], now: Clock) -> None:
    series_id = begin()

    with pytest.raises(lifecycle.MoveRefused), ground.writing() as session:
        lifecycle.schedule(session, _series(ground, series_id).pattern_id, now(), now=now())


@pytest.mark.parametrize(
    ("field", "plan"),
    [
        ("zone", Plan(zone="Tokyo")),
        ("at", Plan(zone="Asia/Tokyo", wall=datetime(2026, 11, 24, 12, 0))),
        ("at", Plan(zone="Asia/Tokyo", wall=datetime(9999, 12, 31, 12, 0))),
        ("at", Plan(zone="Asia/Tokyo", wall=datetime(1, 1, 1, 0, 0))),
        ("at", Plan(zone="Asia/Tokyo", at=NOW)),
        ("at", Plan(zone="Asia/Tokyo", local_time=True)),
        ("at", Plan(zone="Asia/Tokyo", local_time=True, wall=datetime(2026, 11, 24, 11, 59))),
        ("per_hour", Plan(zone="Asia/Tokyo", per_hour=0)),
        ("window", Plan(zone="Asia/Tokyo", window=schedule.Window(600, 600))),
        ("window", Plan(zone="Asia/Tokyo", window=schedule.Window(600, 700, frozenset()))),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence(field: str, plan: Plan) -> None:
    with pytest.raises(PlanWrong) as wrong:
        schedule.check(plan, NOW)

    assert wrong.value.field == field
    assert wrong.value.message.endswith(".")


def test_new_rules_of_a_zone_move_the_moment_and_keep_the_wall_time(ground: Runtime, now: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoneinfo import ZoneInfo

    from kairan import walltime

    with ground.writing() as session:
        campaign_id = make.make_campaign(session, make.make_list(session)).id
        plan = Plan(zone="Asia/Tokyo", wall=datetime(2026, 12, 1, 9, 0))
        schedule.set_up(session, campaign_id, plan, now=now(), undo=True)
    monkeypatch.setattr(walltime, "fresh", lambda _name: ZoneInfo("Asia/Vladivostok"))  # as if Japan moved its clocks an hour ahead

    jobs.housekeeping(ground)

    with ground.reading() as session:
        found = session.get_one(Campaign, campaign_id)
        assert (found.due_wall, found.due_at) == ("2026-12-01T09:00", datetime(2026, 11, 30, 23, 0, tzinfo=UTC))

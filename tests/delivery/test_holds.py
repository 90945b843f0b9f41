"""A send window holds mail back and lets it go, by the campaign's clock or each member's; an hourly limit is kept; nobody rings in vain."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event, select, update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, Lane, State, ZoneTime
from kairan.runtime import Runtime
from kairan.walltime import Window
from mailer.campaigns import jobs as campaign_jobs
from mailer.campaigns import lifecycle, schedule
from mailer.campaigns.schedule import Plan
from mailer.delivery import chunks, jobs, snapshot
from tests.support import ground as make
from tests.support.fault_smtp import FaultSmtp
from tests.support.ground import states

TUESDAY = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
"""noon in Tokyo, the evening before in New York, four at night in Berlin"""


@dataclass
class Clock:
    """The time of the whole process, moved by hand."""

    at: datetime = TUESDAY

    def __call__(self) -> datetime:
        return self.at

    def go(self, *when: int) -> None:
        day, *rest = when
        self.at = datetime(2026, 11, day, *rest).replace(tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(clock, "now", found)
    monkeypatch.setattr(jobs, "Lane", partial(jobs.Lane, now=found))
    return found


@pytest.fixture
def draft(ground: Runtime, now: Clock) -> Callable[..., int]:
    def make_one(count: int, zones: tuple[str | None, ...] = ()) -> int:
        with ground.writing() as session:
            into = make.make_list(session, now=now())
            make.make_members(session, count, into, now=now())
            for at, zone in enumerate(zones, start=1):
                session.execute(update(Member).where(Member.email == f"m{at}@members.example").values(time_zone=zone))
            return make.make_campaign(session, into, now=now()).id

    return make_one


def _send(ground: Runtime, campaign_id: int, plan: Plan, now: Clock) -> None:
    """Scheduled by the plan, started when its time has come."""
    with ground.writing() as session:
        schedule.check(plan, now())
        schedule.set_up(session, campaign_id, plan, now=now(), undo=False)
    campaign_jobs.start_due()


def _round(ground: Runtime, campaign_id: int) -> None:
    """What bells and ticks do, without waiting for them: a lane while something is due."""
    campaign_jobs.start_due()
    campaign_jobs.tick(ground)
    for _lane in range(5):
        with ground.reading() as session:
            due = select(Chunk.number).where(Chunk.campaign_id == campaign_id, Chunk.lane_id.is_(None), Chunk.due_at <= clock.now())
            if session.execute(due).first() is None:
                return
        jobs.run_lane(campaign_id)
    raise AssertionError("a lane is rung again and again and sends nothing")


def _lanes(ground: Runtime) -> int:
    with ground.reading() as session:
        return len(session.execute(select(Lane.id)).all())


def _why(ground: Runtime, campaign_id: int) -> str | None:
    with ground.reading() as session:
        return schedule.why_waiting(session, session.get_one(Campaign, campaign_id), clock.now())


def test_a_window_holds_until_it_opens_and_the_rest_waits_when_it_closes(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(30)
    now.go(24, 12, 0)  # 21:00 in Tokyo
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", window=Window(8 * 60, 20 * 60)), now)

    _round(ground, campaign_id)
    assert (len(server.ledger), _lanes(ground)) == (0, 0)
    assert "opens on Nov 25, 2026, 8:00" in (_why(ground, campaign_id) or "")

    now.go(24, 23, 0)  # 8:00
    _round(ground, campaign_id)
    assert len(server.ledger) == 30
    with ground.reading() as session:
        assert states(session, campaign_id) == {"accepted": 30}
        assert session.get_one(Campaign, campaign_id).status in (CampaignStatus.SENDING, CampaignStatus.SENT)


def test_what_is_tried_again_after_the_close_waits_for_the_next_opening(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(4)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", window=Window(8 * 60, 20 * 60, frozenset({0, 1}))), now)
    with ground.writing() as session:
        late = datetime(2026, 11, 24, 11, 5, tzinfo=UTC)  # 20:05
        session.execute(update(Delivery).where(Delivery.number > 2).values(state=State.DEFERRED, due_at=late))
    _round(ground, campaign_id)
    assert len(server.ledger) == 2

    now.go(24, 11, 5)
    _round(ground, campaign_id)
    lanes = _lanes(ground)
    for _second in range(3):
        _round(ground, campaign_id)

    assert (len(server.ledger), _lanes(ground)) == (2, lanes)
    assert "opens on Nov 30, 2026, 8:00" in (_why(ground, campaign_id) or "")  # the next Monday
    now.go(29, 23, 0)
    _round(ground, campaign_id)
    assert len(server.ledger) == 4


def test_by_local_time_members_in_three_zones_get_it_at_nine_of_their_own(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(5, ("Asia/Tokyo", "Europe/Berlin", "America/New_York", None, "Mars/Olympus"))
    now.go(24, 3, 0)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", wall=datetime(2026, 11, 25, 9, 0), local_time=True), now)
    with ground.reading() as session:
        assert session.get_one(Campaign, campaign_id).due_at == datetime(2026, 11, 24, 19, 0, tzinfo=UTC)  # 9:00 at UTC+14

    now.go(24, 19, 0)
    _round(ground, campaign_id)
    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.audience) == (CampaignStatus.SENDING, 5)
        assert campaign.last_due_at == datetime(2026, 11, 25, 14, 0, tzinfo=UTC)
        assert session.execute(select(ZoneTime)).first() is None
    assert server.ledger == []
    assert "the next on Nov 25, 2026, 9:00" in (_why(ground, campaign_id) or "").replace(" ", " ")

    arrivals = []
    for moment in ((24, 23, 59), (25, 0, 0), (25, 7, 59), (25, 8, 0), (25, 13, 59), (25, 14, 0)):
        now.go(*moment)
        _round(ground, campaign_id)
        arrivals.append(len(server.ledger))
    assert arrivals == [0, 3, 3, 4, 4, 5]  # those without a zone, or with one that does not exist, at the campaign's
    assert server.ledger[-1] == "m3@members.example"
    campaign_jobs.tick(ground)
    with ground.reading() as session:
        assert session.get_one(Campaign, campaign_id).status == CampaignStatus.SENT


def test_a_window_by_members_clocks_lets_each_zone_go_when_it_is_day_there(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(4, ("Asia/Tokyo", "Europe/Berlin", "America/New_York"))
    _send(ground, campaign_id, Plan(zone="Europe/Berlin", window=Window(8 * 60, 20 * 60, local=True)), now)

    arrivals = []
    for moment in ((24, 3, 0), (24, 7, 0), (24, 12, 59), (24, 13, 0)):
        now.go(*moment)
        _round(ground, campaign_id)
        arrivals.append(len(server.ledger))

    assert arrivals == [1, 3, 3, 4]


def test_rows_that_come_due_at_night_of_their_members_wait_for_their_morning(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(2, ("Asia/Tokyo", "Europe/Berlin"))
    now.go(24, 8, 0)  # day in both
    _send(ground, campaign_id, Plan(zone="Europe/Berlin", window=Window(8 * 60, 20 * 60, local=True)), now)

    now.go(24, 15, 0)  # midnight in Tokyo; nobody was at work in between
    _round(ground, campaign_id)
    assert server.ledger == ["m2@members.example"]
    assert "outside the send window of the members" in (_why(ground, campaign_id) or "")
    now.go(24, 23, 0)
    _round(ground, campaign_id)
    assert server.ledger == ["m2@members.example", "m1@members.example"]


def test_an_hourly_limit_is_kept_however_long_the_work_lay(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(30)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", per_hour=60), now)

    counts = []
    for minute in (0, 1, 4, 5, 9, 10, 50):
        now.go(24, 3, minute)
        _round(ground, campaign_id)
        counts.append(len(server.ledger))

    assert counts == [5, 5, 5, 10, 10, 15, 20]  # five each five minutes; what was not sent in between is lost
    assert "more than 60 mails an hour" in (_why(ground, campaign_id) or "")


def test_less_than_twelve_an_hour_is_one_at_a_time(ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock) -> None:
    campaign_id = draft(5)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", per_hour=2), now)

    counts = []
    for minute in (0, 29, 30, 59):
        now.go(24, 3, minute)
        _round(ground, campaign_id)
        counts.append(len(server.ledger))

    assert counts == [1, 1, 2, 2]


def test_a_campaign_without_window_and_limit_costs_a_claim_one_row_more(
    ground: Runtime, draft: Callable[..., int], new_lane: Callable[[int], int], now: Clock
) -> None:
    campaign_id = draft(3)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo"), now)
    lane_id, said = new_lane(campaign_id), []

    with ground.writing() as session:
        event.listen(session.connection(), "before_cursor_execute", lambda *call: said.append(call[2]))
        assert chunks.claim(session, campaign_id, lane_id, now()) is not None
        session.flush()

    assert len(said) == 3  # what holds it, the chunk, its new lane


def test_two_lanes_share_one_hourly_limit(ground: Runtime, draft: Callable[..., int], new_lane: Callable[[int], int], now: Clock) -> None:
    campaign_id = draft(2_100)
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", per_hour=1_200), now)
    taken = 0
    for _lane in range(2):
        lane_id = new_lane(campaign_id)
        with ground.writing() as session:
            chunk = chunks.claim(session, campaign_id, lane_id, now())
            taken += len(chunks.waiting(session, chunk, now())) if chunk else 0

    assert taken == 100


def test_a_snapshot_that_was_broken_off_goes_on_with_the_same_times(ground: Runtime, draft: Callable[..., int], now: Clock) -> None:
    campaign_id = draft(2_003, ("Asia/Tokyo", "America/New_York"))
    with ground.writing() as session:
        session.execute(update(Member).where(Member.id > 2_000).values(time_zone="Europe/Berlin"))
        plan = Plan(zone="Asia/Tokyo", wall=datetime(2026, 11, 25, 9, 0), local_time=True)
        schedule.set_up(session, campaign_id, plan, now=now(), undo=False)
    now.go(24, 19, 0)
    with ground.writing() as session:
        lifecycle.start(session, campaign_id, now=now())
    with ground.reading() as session:
        times = snapshot.prepare(session, campaign_id, now())
    with ground.writing() as session:
        campaign_jobs.zone_times.write(session, campaign_id, times)
        assert snapshot.take_piece(session, campaign_id, now())  # and here the process dies

    now.go(24, 21, 0)
    campaign_jobs.start_due()

    with ground.reading() as session:
        due = session.execute(select(Delivery.due_at).where(Delivery.number.in_([1, 2, 3, 2_003])).order_by(Delivery.number)).scalars()
        assert [(moment.day, moment.hour) for moment in due if moment] == [(25, 0), (25, 14), (25, 0), (25, 8)]
        chunk_times = session.execute(select(Chunk.due_at).order_by(Chunk.number)).scalars().all()
        assert [moment.hour for moment in chunk_times if moment] == [0, 8]


def test_by_local_time_a_machine_that_stood_still_for_hours_asks_a_person(
    ground: Runtime, server: FaultSmtp, draft: Callable[..., int], now: Clock
) -> None:
    campaign_id = draft(2, ("Asia/Tokyo", "America/New_York"))
    _send(ground, campaign_id, Plan(zone="Asia/Tokyo", wall=datetime(2026, 11, 25, 9, 0), local_time=True), now)
    now.go(24, 19, 0)
    _round(ground, campaign_id)

    now.go(25, 6, 1)  # Tokyo's nine o'clock was six hours ago
    campaign_jobs.start_due()

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.paused_reason) == (CampaignStatus.PAUSED, "late")
    assert server.ledger == []


def test_now_goes_at_once_with_a_moment_to_undo(ground: Runtime, draft: Callable[..., int], now: Clock) -> None:
    campaign_id = draft(1)
    plans = [Plan(zone="Asia/Tokyo"), Plan(zone="Asia/Tokyo", wall=datetime(2026, 11, 24, 12, 1), local_time=True)]
    for plan in plans:
        with ground.writing() as session:
            assert schedule.set_up(session, campaign_id, plan, now=now(), undo=True) == now() + timedelta(seconds=60)
            assert schedule.keep_wall_times(session, now=now()) == []
            lifecycle.unschedule(session, campaign_id, now=now())

"""Stopped, doubled and restarted processes, wrong clocks, lost power: nothing twice, nothing after a no (F3, F11-F13, F17, F25)."""

import os
import random
import signal
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from kairan import clock
from kairan.models.campaigns import CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, State
from kairan.models.deliveries import Lane as LaneRow
from mailer.campaigns import jobs, lifecycle, sending
from mailer.delivery import journal
from mailer.ops.scheduler import Scheduler
from tests.faults.stage import CONNECTIONS, Stage

STOPS = [
    "claimed.after:1", "gated.before:1", "gated.after:1", "splice.after:3", "mail.before:3", "mail.after:7", "dot.after:7", "write.after:7",
    "verdict.after:7", "reply.after:7", "recorded.after:1",
]  # fmt: skip
"""outside of transactions: a process that is stopped within one holds its locks, and no answer is given meanwhile"""


@pytest.fixture(autouse=True)
def _leave_nobody_stopped(stage: Stage) -> Iterator[None]:
    yield
    for horse in stage.worker.living():
        horse.send(signal.SIGKILL)
        horse.wait()


@pytest.mark.parametrize("point", [pytest.param(point, marks=() if point == "gated.after:1" else pytest.mark.slow) for point in STOPS])
def test_a_lane_that_was_stopped_sends_nothing_after_a_no(stage: Stage, point: str) -> None:
    campaign_id = stage.campaign(count=60)
    horse = stage.lane(campaign_id, f"{point}:STOP")
    assert horse.wait_until_stopped()

    answered: dict[str, int] = {}
    speaking = threading.Thread(target=_say_no, args=(stage, campaign_id, answered))
    speaking.start()
    # SIGSTOP takes the thread that writes to the database along: on SQLite nobody can write then, and no answer is given.
    speaking.join(2.0)
    horse.send(signal.SIGCONT)
    horse.wait()
    speaking.join()
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=0, noes=answered)


def _say_no(stage: Stage, campaign_id: int, answered: dict[str, int]) -> None:
    stage.sweep()
    answered.update(stage.opt_out(stage.members(campaign_id)[::4]))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["gated.after:1", "mail.after:7", "dot.after:7", "write.after:7"])
def test_a_lane_that_is_killed_while_it_is_stopped_is_recovered(stage: Stage, point: str) -> None:
    campaign_id = stage.campaign(count=60)
    horse = stage.lane(campaign_id, f"{point}:STOP")
    assert horse.wait_until_stopped()
    if not stage.ground.database.is_sqlite:
        stage.sweep()
        assert stage.states(campaign_id).get("sending")  # the sweep left the living lane alone

    horse.send(signal.SIGKILL)
    horse.wait()
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=CONNECTIONS, kills=1)


@pytest.mark.slow
def test_what_a_stopped_lane_of_a_host_that_was_given_up_still_records_is_not_lost(stage: Stage) -> None:
    if stage.ground.database.is_sqlite:
        pytest.skip("an installation on SQLite has one host")
    campaign_id = stage.campaign(["451-dot-x1"] * 12)
    horse = stage.lane(campaign_id, "write.after:1:STOP")
    assert horse.wait_until_stopped()
    with stage.ground.writing() as session:  # another host found its lease and its heartbeat stale
        lane_id = session.execute(select(func.max(LaneRow.id))).scalar_one()
        row = session.get_one(LaneRow, lane_id)
        row.dead, row.ended_at = True, clock.now()
        session.execute(update(Delivery).where(Delivery.lane_id == lane_id, Delivery.state == State.SENDING).values(state=State.UNCERTAIN))
        session.execute(update(Chunk).where(Chunk.lane_id == lane_id).values(lane_id=None, due_at=clock.now()))
    stage.finish(campaign_id)

    assert stage.status(campaign_id) == CampaignStatus.SENT
    horse.send(signal.SIGCONT)
    horse.wait()
    stage.finish(campaign_id)

    assert stage.states(campaign_id) == {"accepted": 12}
    stage.check(campaign_id, bound=0)


def test_eight_lanes_on_one_campaign_double_nothing(stage: Stage) -> None:
    campaign_id = stage.campaign(["slow-dot"] * 40, count=80)

    horses = [stage.lane(campaign_id) for _ in range(8)]
    for horse in horses:
        horse.wait()
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=0)


@pytest.mark.slow
def test_chunks_that_are_claimed_twice_double_nothing(stage: Stage) -> None:
    campaign_id = stage.campaign(["slow-dot"] * 200)
    horses = [stage.lane(campaign_id) for _ in range(2)]
    for _ in range(10):
        with stage.ground.writing() as session:
            session.execute(update(Chunk).where(Chunk.campaign_id == campaign_id).values(lane_id=None, due_at=clock.now()))
        horses.append(stage.lane(campaign_id))

    for horse in horses:
        horse.wait()
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=0)


def test_a_double_click_on_send_starts_one_campaign(stage: Stage) -> None:
    campaign_id = stage.campaign(count=50, started=False)
    outcomes: list[str] = []

    def click() -> None:
        try:
            sending.schedule(stage.ground, campaign_id, clock.now())
            outcomes.append("sent")
        except lifecycle.MoveRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starters = [stage.worker.start("start", campaign_id) for _ in range(4)]
    for starter in starters:
        starter.wait()
    stage.finish(campaign_id)

    assert sorted(outcomes) == ["refused"] * 5 + ["sent"]
    assert [starter.code for starter in starters] == [0] * 4
    assert stage.check(campaign_id, bound=0).recipients == 50


def test_of_two_schedulers_one_works(stage: Stage) -> None:
    first, second = Scheduler(stage.ground), Scheduler(stage.ground)

    with first._alone() as one, second._alone() as other:
        assert (one, other) == (True, False)
    with second._alone() as other:
        assert other


@pytest.mark.slow
def test_a_scheduler_whose_lock_the_database_ended_begins_again(stage: Stage) -> None:
    if stage.ground.database.is_sqlite:
        pytest.skip("a file lock ends with its process alone")
    first, second = Scheduler(stage.ground), Scheduler(stage.ground)

    with first._alone() as one:
        assert one
        with stage.ground.database.engine.connect() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            connection.execute(text(ended))
        with pytest.raises(SQLAlchemyError):
            first._still_alone()
        with second._alone() as other:
            assert other


@pytest.mark.slow
def test_restarts_leave_nothing_unknown(stage: Stage) -> None:
    campaign_id = stage.campaign(["slow-dot"] * 150)
    chance = random.Random(5)

    codes: list[int] = []
    while stage.status(campaign_id) != CampaignStatus.SENT and len(codes) < 40:
        codes.append(stage.while_it_goes_out(campaign_id, chance.randint(1, 12), lambda: _terminate(stage)))
        stage.sweep()
        lanes_left = journal.Folder(stage.ground.settings.journal_dir).lanes()
        assert lanes_left == []
        jobs.tick(stage.ground)

    assert set(codes) == {0}
    stage.check(campaign_id, bound=0)


def _terminate(stage: Stage) -> None:
    for horse in stage.worker.living():
        horse.send(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-86_400, -3_600, 3_600, 86_400])
def test_a_wrong_clock_neither_doubles_nor_loses(stage: Stage, seconds: int) -> None:
    campaign_id = stage.campaign(["450-rcpt-x1"] * 10, count=60)

    stage.lane(campaign_id, clock_s=seconds).wait()
    stage.lane(campaign_id, "write.after:5:KILL", clock_s=-seconds).wait()
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=CONNECTIONS, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 100, 128, 640, 128 * 30 + 7])
def test_after_a_loss_of_power_what_was_sending_is_unknown_and_never_sent_again(stage: Stage, kept: int) -> None:
    campaign_id = stage.campaign(count=80)
    stage.lane(campaign_id, "write.after:23:KILL").wait()
    folder = journal.Folder(stage.ground.settings.journal_dir)
    with stage.ground.writing() as session:
        lane_id = session.execute(select(func.max(LaneRow.id))).scalar_one()
        session.get_one(LaneRow, lane_id).boot = "before the power was lost"
        on_its_way = session.execute(
            select(func.count()).where(Delivery.lane_id == lane_id, Delivery.state == State.SENDING, Delivery.campaign_id == campaign_id)
        ).scalar_one()
    for segment in folder.segments(lane_id):
        os.truncate(segment, min(kept, segment.stat().st_size))

    stage.finish(campaign_id)

    stage.check(campaign_id, bound=on_its_way, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("at", list(range(0, 128 * 6, 61)))
def test_a_journal_with_a_flipped_byte_is_never_read_as_not_sent(stage: Stage, at: int) -> None:
    campaign_id = stage.campaign(count=40)
    stage.lane(campaign_id, "write.after:9:KILL").wait()
    folder = journal.Folder(stage.ground.settings.journal_dir)
    segment = folder.segments(folder.lanes()[-1])[0]
    content = bytearray(segment.read_bytes())
    content[at] ^= 0x5A
    segment.write_bytes(content)

    stage.finish(campaign_id)

    stage.check(campaign_id, bound=40, kills=1)

"""What stops a campaign by itself, and what does not."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import State
from kairan.models.suppression import SuppressionReason
from kairan.runtime import Runtime
from mailer.delivery import brakes, jobs, surroundings
from mailer.delivery.outcomes import ACCEPTED_250, Outcome
from mailer.delivery.surroundings import Surroundings
from unsubscribe import suppression

DEAD = Outcome(State.REJECTED, 550, "5.1.1 no such user", "RCPT")
POLICY = Outcome(State.REJECTED, 550, "5.7.1 not welcome", "DOT")
FULL = Outcome(State.DEFERRED, 452, "4.2.2 mailbox full", "RCPT")


def _first_reason(*verdicts: Outcome) -> tuple[int, str] | None:
    recent = brakes.Recent()
    return next(((at, why) for at, verdict in enumerate(verdicts, start=1) if (why := recent.add(verdict))), None)


def test_more_than_one_in_twenty_refused_for_policy_stops_it() -> None:
    assert _first_reason(*[ACCEPTED_250] * 180, *[POLICY] * 20) == (190, "policy")  # the 10th of 190 is over 5 %
    assert _first_reason(*[ACCEPTED_250] * 190, *[POLICY] * 9) is None


def test_a_first_refusal_is_no_share_of_anything() -> None:
    assert _first_reason(POLICY, POLICY) is None
    assert _first_reason(*[DEAD] * 99) is None
    assert _first_reason(*[DEAD] * 100) == (100, "bounces")


def test_more_than_one_in_twenty_dead_addresses_stops_it() -> None:
    assert _first_reason(*[ACCEPTED_250] * 150, *[DEAD] * 8) == (158, "bounces")
    assert _first_reason(*([ACCEPTED_250] * 19 + [DEAD]) * 20) is None  # one in twenty is not more than one in twenty


def test_only_the_last_two_hundred_count() -> None:
    assert _first_reason(*[DEAD] * 9, *[ACCEPTED_250] * 200, *[DEAD] * 10) is None


def test_full_mailboxes_stop_nothing() -> None:
    assert _first_reason(*[FULL] * 300) is None


def test_a_sender_that_is_refused_stops_it_at_once() -> None:
    assert _first_reason(Outcome(State.REJECTED, 550, "5.7.1 sender", "MAIL")) == (1, "sender_refused")


def _complain(session: Session, campaign_id: int, members: range) -> None:
    for member_id in members:
        suppression.suppress(session, member_id, SuppressionReason.COMPLAINT, campaign_id=campaign_id, now=clock.now())


@pytest.fixture
def sent(ground: Runtime, new_campaign: Callable[..., int]) -> int:
    return new_campaign(count=6)


def test_complaints_over_the_limit_pause_the_campaign(ground: Runtime, sent: int) -> None:
    with ground.writing() as session:
        session.get_one(Campaign, sent).snapshot_at = None  # still writing deliveries, so it stays in sending
    jobs.run_lane(sent)
    with ground.writing() as session:
        _complain(session, sent, range(1, 5))
        assert not brakes.after_complaint(session, sent, clock.now())
        _complain(session, sent, range(5, 6))
        assert brakes.after_complaint(session, sent, clock.now())
        campaign = session.get_one(Campaign, sent, populate_existing=True)
        assert (campaign.status, campaign.paused_reason, campaign.paused_detail) == (CampaignStatus.PAUSED, "complaints", "5 / 6")


def test_a_full_disk_pauses_all_that_is_going_out(ground: Runtime, sent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "ROOM_MIN", 1 << 60)
    found = Surroundings((tmp_path,)).look(clock.now())

    assert found is not None and found[0] == "disk"
    with ground.writing() as session:
        assert brakes.pause_all(session, *found, clock.now()) == [sent]
        assert brakes.pause_all(session, *found, clock.now()) == []


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=1)])
def test_a_clock_that_jumps_is_noticed_once(jump: timedelta) -> None:
    here, now = Surroundings(()), clock.now()
    assert here.look(now, 100.0) is None
    assert here.look(now + timedelta(seconds=10), 110.0) is None
    assert here.look(now + timedelta(seconds=20) + jump, 120.0) == ("clock", f"{jump.total_seconds():+.0f} s")
    assert here.look(now + timedelta(seconds=30) + jump, 130.0) is None


def test_a_machine_that_slept_has_no_clock_that_jumped() -> None:
    here, now = Surroundings(()), clock.now()
    here.look(now, 100.0)
    assert here.look(now + timedelta(hours=8), 100.0 + 8 * 3600) is None

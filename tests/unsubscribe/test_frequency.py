"""How often a member wants mail is asked when a campaign's deliveries are written and again at the gate."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from kairan.models.audience import List, Member
from kairan.models.campaigns import Campaign
from kairan.models.consent import ConsentSource
from kairan.models.deliveries import Delivery, State
from tests.support.ground import NOW, make_campaign, start_sending
from tests.unsubscribe.conftest import Going
from unsubscribe import consent


def _wish(going: Going, frequency: str) -> None:
    with going.ground.writing() as session:
        session.execute(update(Member).where(Member.id == 1).values(frequency=frequency))


def _another(going: Going) -> int:
    """The id of a second campaign to the same list, begun at NOW."""
    with going.ground.writing() as session:
        campaign = make_campaign(session, session.get_one(List, going.list_id))
    start_sending(going.ground, campaign.id)
    return campaign.id


def _sent(going: Going, state: State, ago: timedelta) -> None:
    """What became of the first campaign's mail to member 1."""
    with going.ground.writing() as session:
        ended = None if state == State.SENDING else NOW - ago
        mine = Delivery.campaign_id == going.campaign_id, Delivery.member_id == 1
        session.execute(update(Delivery).where(*mine).values(state=state, ended_at=ended))


@pytest.mark.parametrize(
    ("frequency", "days", "is_left_out"),
    [
        ("each", 0, False),
        ("weekly", 6.9, True),
        ("weekly", 7.1, False),
        ("monthly", 29.9, True),
        ("monthly", 30.1, False),
    ],
)
def test_a_mail_within_the_members_interval_leaves_them_out_of_the_next(going: Going, frequency: str, days: float, is_left_out: bool):
    _wish(going, frequency)
    _sent(going, State.ACCEPTED, timedelta(days=days))

    second = _another(going)

    with going.ground.reading() as session:
        campaign = session.get_one(Campaign, second)
        reached = list(session.execute(select(Delivery.member_id).where(Delivery.campaign_id == second)).scalars())
    assert campaign.left_out == ({frequency: 1} if is_left_out else {})
    assert reached == ([2, 3] if is_left_out else [1, 2, 3])


@pytest.mark.parametrize(
    ("state", "passes"), [(State.SENDING, False), (State.UNCERTAIN, False), (State.ACCEPTED, False), (State.REJECTED, True)]
)
def test_of_two_campaigns_that_go_out_together_the_gate_lets_one_through(going: Going, state: State, passes: bool):
    second = _another(going)
    _wish(going, "weekly")
    _sent(going, state, timedelta())

    gated = Going(going.ground, second, going.list_id, going.lane_id).gated(1)

    assert gated == ([1] if passes else [])


def test_the_gate_says_which_wish_stopped_the_mail(going: Going):
    second = _another(going)
    _wish(going, "monthly")
    _sent(going, State.ACCEPTED, timedelta(days=8))

    Going(going.ground, second, going.list_id, going.lane_id).gated(1, keep=True)

    with going.ground.reading() as session:
        found = session.execute(select(Delivery).where(Delivery.campaign_id == second, Delivery.member_id == 1)).scalar_one()
    assert (State(found.state), found.reason) == (State.SUPPRESSED, "monthly")


@pytest.mark.parametrize("days", [30, 60, 90])
def test_a_break_ends_by_itself(going: Going, days: int):
    with going.ground.writing() as session:
        consent.choose(session, 1, source=ConsentSource.PAGE, frequency=f"pause{days}", now=NOW - timedelta(days=days, seconds=-1))
    assert going.gated(1) == []

    with going.ground.writing() as session:
        consent.choose(session, 1, source=ConsentSource.PAGE, frequency=f"pause{days}", now=NOW - timedelta(days=days, seconds=1))
    assert going.gated(1) == [1]

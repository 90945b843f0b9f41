"""Whatever a mail server does at any step, each delivery gets the state that follows from it, and nobody gets a mail twice (F4–F6)."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from kairan.models.audience import Member
from kairan.models.deliveries import Delivery, State
from tests.faults.stage import Stage

IMPATIENT = {"constants": {"mailer.delivery.smtp.ENVELOPE_TIMEOUT_S": 0.5, "mailer.delivery.smtp.DOT_TIMEOUT_S": 0.5}}
"""for servers that say nothing: RFC 5321 asks for 300 and 600 s"""

CONNECTION = ("drop", "rst", "garbage", "partial", "long", "mute", "late", "421")
"""what ends a connection; before the dot the delivery is queued again, after it nobody knows, except that 421 is an answer"""
OUTCOMES = {
    **{f"{what}-{step}": State.QUEUED for what in CONNECTION for step in ("mail", "rcpt", "data")},
    **{f"{what}-dot": State.UNCERTAIN for what in CONNECTION if what != "421"},
    **{f"{what}-{step}": State.ACCEPTED for what in ("huge", "slow") for step in ("mail", "rcpt", "dot")},
    "450-mail": State.DEFERRED,
    "450-rcpt": State.DEFERRED,
    "451-data": State.DEFERRED,
    "451-dot": State.DEFERRED,
    "550-rcpt": State.REJECTED,
    "552-rcpt": State.REJECTED,
    "554-data": State.REJECTED,
    "552-dot": State.REJECTED,
    "nul-rcpt": State.REJECTED,
    "nul-dot": State.REJECTED,
    "250-data": State.QUEUED,  # no 354: the replies are out of step, and nothing was sent
    "421-dot": State.QUEUED,
    "354-dot": State.UNCERTAIN,
    "drop-body": State.UNCERTAIN,  # message and dot leave together: who drops while reading them may have had both
    "rst-body": State.UNCERTAIN,
    "lose-dot": State.UNCERTAIN,
    "twice-dot": State.ACCEPTED,
    "reply-drop": State.ACCEPTED,
    "drop-quit": State.ACCEPTED,
}
UNKNOWN = sum(state is State.UNCERTAIN for state in OUTCOMES.values())

STEPS_OF_A_REPLY = ("reply.after:1:KILL", "reply.after:2:KILL", "record.before:1:KILL")

SESSIONS = [f"{what}-{step}" for step in ("banner", "ehlo") for what in ("drop", "rst", "421", "554", "garbage", "partial", "long", "slow")]


@pytest.fixture(autouse=True)
def _greet_well(stage: Stage) -> Iterator[None]:
    stage.sessions()
    yield
    stage.sessions()


def _states(stage: Stage, campaign_id: int) -> dict[str, State]:
    """The word of each address → its delivery's state."""
    with stage.ground.reading() as session:
        rows = session.execute(
            select(Member.email, Delivery.state).join(Member, Member.id == Delivery.member_id).where(Delivery.campaign_id == campaign_id)
        )
        return {email.split(".")[0]: State(state) for email, state in rows}


def test_each_answer_at_each_step_leads_to_its_state(stage: Stage) -> None:
    # Between any two some plain ones: who comes next on a connection that is just being closed is queued again, rightly.
    campaign_id = stage.campaign([word for wanted in OUTCOMES for word in (wanted, *["fine"] * 4)])

    stage.lane(campaign_id, seconds=8, **IMPATIENT).wait()

    states = _states(stage, campaign_id)
    assert {word: states[word] for word in OUTCOMES} == OUTCOMES
    stage.check(campaign_id, bound=UNKNOWN, ended=False)


def test_what_goes_wrong_twice_goes_right_the_third_time(stage: Stage) -> None:
    campaign_id = stage.campaign(
        [f"{word}-x2" for word, state in OUTCOMES.items() if state in (State.QUEUED, State.DEFERRED)] * 2, count=20
    )

    stage.lane(campaign_id, **IMPATIENT).wait()
    stage.hurry(campaign_id)
    stage.lane(campaign_id, **IMPATIENT).wait()
    stage.finish(campaign_id)

    assert set(stage.states(campaign_id)) == {"accepted"}
    stage.check(campaign_id, bound=0)


@pytest.mark.parametrize("word", [pytest.param(word, marks=() if word in ("421-banner",) else pytest.mark.slow) for word in SESSIONS])
def test_a_session_that_cannot_begin_costs_no_recipient_anything(stage: Stage, word: str) -> None:
    campaign_id = stage.campaign(["drop-rcpt-x1"] * 6, count=40)
    stage.sessions(f"{word}:2")

    stage.lane(campaign_id, **{"constants": {"mailer.delivery.smtp.CONNECT_TIMEOUT_S": 2.0}}).wait()
    stage.sessions()
    stage.finish(campaign_id)

    assert set(stage.states(campaign_id)) == {"accepted"}
    stage.check(campaign_id, bound=0)


@pytest.mark.slow
@pytest.mark.parametrize("crash", STEPS_OF_A_REPLY)
def test_a_reply_with_a_zero_byte_can_be_recovered_from_the_journal(stage: Stage, crash: str) -> None:
    campaign_id = stage.campaign(["nul-dot"] * 4, count=10)

    stage.lane(campaign_id, crash).wait()
    stage.finish(campaign_id)

    assert stage.states(campaign_id).get("rejected", 0) >= 1
    stage.check(campaign_id, bound=4, kills=1)


def test_a_refusal_after_which_the_server_hangs_up_is_a_refusal(stage: Stage) -> None:
    campaign_id = stage.campaign(["bye-rcpt"], count=4)

    stage.lane(campaign_id).wait()

    assert _states(stage, campaign_id) == {"bye-rcpt": State.REJECTED, "fine": State.ACCEPTED}


DROPS = ("drop-mail", "drop-rcpt", "drop-data", "rst-mail", "rst-rcpt", "rst-data", "garbage-rcpt", "partial-data", "421-rcpt", "421-dot")
DROPS_AT_THE_DOT = ("drop-dot", "rst-dot", "lose-dot", "partial-dot", "drop-body", "reply-drop")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(5))
def test_hundreds_of_dropped_connections_double_nothing(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    words = [f"{chance.choice(DROPS)}-x{chance.randint(1, 3)}" for _ in range(150)] + [chance.choice(DROPS_AT_THE_DOT) for _ in range(20)]
    chance.shuffle(words)
    campaign_id = stage.campaign(words, count=40)

    stage.finish(campaign_id, rounds=40)

    drops = stage.check(campaign_id, bound=20).drops
    assert drops >= 200

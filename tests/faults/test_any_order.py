"""Sending, killing, pausing, editing, resuming, saying no and cancelling, in any order: every promise holds all the same (F16)."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import jobs, revisions
from tests.faults.stage import CONNECTIONS, Stage
from tests.support.crashing_worker import Horse

POINTS = [
    "claimed.after",
    "gated.after",
    "mail.after",
    "dot.after",
    "write.after",
    "reply.before",
    "reply.after",
    "record.after",
    "recorded.after",
]
WORDS = ["drop-rcpt-x1", "421-data-x1", "451-dot-x1", "rst-mail-x2", "550-rcpt", "slow-dot"]
AT_THE_DOT = ["drop-dot", "lose-dot"]


class AnyOrder(RuleBasedStateMachine):
    """One campaign from its start to its end. Lanes run beside the other rules."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.kills = 0
        self.edition = 0
        self.horses: list[Horse] = []
        self.noes: dict[str, int] = {}
        self.quiet: list[tuple[int, int]] = []
        """from the answer to a pause until it is resumed"""
        self.editions: list[tuple[int, int]] = []
        """when a resume was answered, and which edition it was for"""

    @initialize(words=st.lists(st.sampled_from([*WORDS, *AT_THE_DOT]), max_size=25), plain=st.integers(10, 60))
    def begin(self, words: list[str], plain: int) -> None:
        self.campaign_id = self.stage.campaign(words, count=plain)
        self.unsure = sum(word in AT_THE_DOT for word in words)
        self.members = self.stage.members(self.campaign_id)

    @property
    def status(self) -> str:
        return self.stage.status(self.campaign_id)

    # ---- rules ----

    @rule(
        crash=st.one_of(
            st.just(""), st.tuples(st.sampled_from(POINTS), st.integers(1, 12)).map(lambda drawn: f"{drawn[0]}:{drawn[1]}:KILL")
        )
    )
    def send(self, crash: str) -> None:
        self.horses.append(self.stage.lane(self.campaign_id, crash))

    @rule()
    def wait(self) -> None:
        for horse in self.horses:
            self.kills += horse.wait() == -9
        self.horses.clear()

    @rule()
    def sweep(self) -> None:
        self.stage.sweep()
        jobs.tick(self.stage.ground)
        self.stage.hurry(self.campaign_id)

    @rule(at=st.integers(0, 10_000))
    def say_no(self, at: int) -> None:
        self.noes.update(self.stage.opt_out([self.members[at % len(self.members)]]))

    @precondition(lambda self: self.status == CampaignStatus.SENDING)
    @rule()
    def pause(self) -> None:
        jobs.pause(self.stage.ground, self.campaign_id)
        self.quiet.append((time.monotonic_ns(), 0))

    @precondition(lambda self: self.status == CampaignStatus.PAUSED)
    @rule()
    def edit(self) -> None:
        with self.stage.ground.writing() as session:
            base = session.get_one(Campaign, self.campaign_id).revision
            self.edition += 1
            revisions.save(session, self.campaign_id, base, {"subject": f"News, edition {self.edition}"}, now=clock.now())

    @precondition(lambda self: self.status == CampaignStatus.PAUSED)
    @rule()
    def resume(self) -> None:
        began, _ = self.quiet[-1] if self.quiet else (time.monotonic_ns(), 0)
        self.quiet[-1:] = [(began, time.monotonic_ns())]
        jobs.resume(self.stage.ground, self.campaign_id)
        self.editions.append((time.monotonic_ns(), self.edition))

    @precondition(lambda self: self.status in (CampaignStatus.SENDING, CampaignStatus.PAUSED))
    @rule(really=st.integers(0, 5))
    def cancel(self, really: int) -> None:
        if really == 0:
            jobs.cancel(self.stage.ground, self.campaign_id)
            self.quiet.append((time.monotonic_ns(), 0))

    # ---- the end ----

    def teardown(self) -> None:
        if not hasattr(self, "campaign_id"):
            return
        self.wait()
        if self.status == CampaignStatus.PAUSED:
            self.resume()
        self.stage.finish(self.campaign_id, rounds=20)

        tally = self.stage.check(self.campaign_id, bound=CONNECTIONS * self.kills + self.unsure, noes=self.noes, kills=self.kills)
        assert tally.recipients == len(self.members)
        lines = self.stage.lines()
        late = [
            line
            for line in lines
            if line.kind == "M" and any(since < line.moment < (until or line.moment + 1) for since, until in self.quiet)
        ]
        assert late == [], "a mail started after the answer to a pause or a cancel"
        begun = {}
        for line in lines:
            if line.kind == "M":
                begun[line.recipient] = line.moment
            elif line.kind == "D":
                wanted = max((edition for at, edition in self.editions if at < begun[line.recipient]), default=0)
                assert line.edition >= wanted, "a mail of the old revision started after the resume"


def _run(stage: Stage, **how: Any) -> None:
    machine: Callable[[], AnyOrder] = type("Machine", (AnyOrder,), {"stage": stage})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(machine, settings=settings(deadline=None, database=None, suppress_health_check=checks, **how))  # type: ignore[no-untyped-call]


def test_any_order_of_faults_and_decisions_keeps_the_promises(stage: Stage) -> None:
    _run(stage, max_examples=2, stateful_step_count=8, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_orders_of_faults_and_decisions_keep_the_promises(stage: Stage) -> None:
    _run(stage, max_examples=40, stateful_step_count=20)

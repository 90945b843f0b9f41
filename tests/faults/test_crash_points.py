"""A process that dies at any step of the delivery table doubles nothing, loses nothing, and leaves unknown what was at the dot (F1)."""

import signal

import pytest

from tests.faults.stage import CONNECTIONS, Stage

RECIPIENTS = 50
LANE = [
    "lane.before", "lane.after", "lock.after", "segment.after", "claim.before", "claim.after", "claimed.before", "claimed.after",
    "gate.before", "gate.after", "gated.before", "gated.after", "splice.before", "splice.after", "mail.before", "mail.after",
    "dot.before", "dot.after", "write.before", "write.after", "verdict.before", "verdict.after", "reply.before", "reply.after",
    "record.before", "record.after", "recorded.before", "recorded.after", "release.before", "release.after", "end.before", "end.after",
    "close.before", "close.after",
]  # fmt: skip
START = [
    "begin.before",
    "begin.after",
    "compile.before",
    "compile.after",
    "piece.before",
    "piece.after",
    "written.after",
    "settle.before",
    "settle.after",
]
SWEEP = ["bury.before", "bury.after", "verdicts.before", "verdicts.after", "forget.before", "forget.after"]
BEFORE_ANY_DOT = {
    "lane.before",
    "lane.after",
    "lock.after",
    "segment.after",
    "claim.before",
    "claim.after",
    "claimed.before",
    "claimed.after",
}
"""points at which, the first time, no mail is on its way yet: nothing may be unknown then"""
ONCE = {"lane", "segment", "end", "close", "begin", "compile", "settle"}
"""points that a process comes to once"""
QUICK = {
    ("gate.after", 1),
    ("mail.after", 7),
    ("dot.after", 7),
    ("write.after", 23),
    ("reply.after", 7),
    ("record.after", 1),
    ("release.after", 1),
}
"""of each kind of step one stays in the quick suite"""


def _cases(points: list[str], hits: tuple[int, ...], quick: set[tuple[str, int]]) -> list[object]:
    return [
        pytest.param(f"{point}:{hit}:KILL", marks=() if (point, hit) in quick else pytest.mark.slow, id=f"{point}-{hit}")
        for point in points
        for hit in (hits[:1] if point.split(".")[0] in ONCE else hits)
    ]


@pytest.mark.parametrize("crash", _cases(LANE, (1, 2, 7, 23), QUICK))
def test_a_lane_killed_at_any_step_neither_doubles_nor_loses(stage: Stage, crash: str) -> None:
    campaign_id = stage.campaign(count=RECIPIENTS)

    died = stage.lane(campaign_id, crash).wait()
    stage.finish(campaign_id)

    assert died in (-signal.SIGKILL, 0)  # a batch may be larger than the hit, then there is nobody to kill
    point, hit, _ = crash.split(":")
    nothing_unknown = died == 0 or (point in BEFORE_ANY_DOT and hit == "1") or point.startswith(("end", "close"))
    stage.check(campaign_id, bound=0 if nothing_unknown else CONNECTIONS, kills=int(died != 0))


@pytest.mark.parametrize("crash", _cases(START, (1, 2), {("piece.after", 1), ("settle.before", 1)}))
def test_a_snapshot_killed_anywhere_is_taken_up_again(stage: Stage, crash: str) -> None:
    from kairan import clock
    from mailer.campaigns import lifecycle

    campaign_id = stage.campaign(count=RECIPIENTS, started=False)
    with stage.ground.writing() as session:
        lifecycle.schedule(session, campaign_id, clock.now(), now=clock.now())

    died = stage.worker.run("start", campaign_id, crash)
    stage.worker.run("start", campaign_id)
    stage.finish(campaign_id)

    assert died == -signal.SIGKILL
    assert stage.check(campaign_id, bound=0, kills=1).recipients == RECIPIENTS


@pytest.mark.parametrize("crash", _cases(SWEEP, (1,), {("verdicts.after", 1)}))
def test_a_recovery_killed_anywhere_is_done_again(stage: Stage, crash: str) -> None:
    campaign_id = stage.campaign(count=RECIPIENTS)
    stage.lane(campaign_id, "write.after:9:KILL").wait()

    died = stage.worker.run("sweep", 0, crash)
    stage.finish(campaign_id)

    assert died == -signal.SIGKILL
    stage.check(campaign_id, bound=CONNECTIONS, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("again", range(3))
def test_lanes_killed_one_after_another_end_the_campaign_all_the_same(stage: Stage, again: int) -> None:
    campaign_id = stage.campaign(count=4 * RECIPIENTS)
    crashes = ["gated.after:2", "mail.after:11", "dot.after:11", "write.after:11", "reply.before:11", "record.after:2", "recorded.before:3"]

    kills = 0
    for crash in crashes[again:] + crashes[:again]:
        kills += stage.lane(campaign_id, f"{crash}:KILL").wait() == -signal.SIGKILL
        stage.sweep()
    stage.finish(campaign_id)

    assert kills >= 3  # the later ones may find too few mails left
    stage.check(campaign_id, bound=CONNECTIONS * kills, kills=kills)

"""The gate lets through what may be mailed now, and a dead lane's rows go where its journal says."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from kairan import clock
from kairan.models.audience import Member, Subscription
from kairan.models.campaigns import Campaign
from kairan.models.consent import Permission
from kairan.models.deliveries import Chunk, Delivery, Lane, State
from kairan.models.suppression import SuppressionReason
from kairan.runtime import Runtime
from mailer.campaigns import lifecycle
from mailer.delivery import chunks, journal, outcomes, recovery, snapshot
from mailer.delivery.gate import Candidate, Gated, LaneDead, gate
from mailer.delivery.record import Result, record
from tests.support.ground import states
from unsubscribe import allowed, suppression

NewCampaign = Callable[..., int]
NewLane = Callable[[int], int]


def _gate(ground: Runtime, campaign_id: int, lane_id: int, *candidates: Candidate, revision: int = 1) -> list[Gated]:
    with ground.writing() as session:
        wanted = candidates or [
            Candidate(row.number, row.member_id)
            for row in session.execute(select(Delivery).where(Delivery.campaign_id == campaign_id)).scalars()
        ]
        return gate(
            session,
            lane_id=lane_id,
            campaign_id=campaign_id,
            revision=revision,
            candidates=wanted,
            started=clock.boottime(),
            now=clock.now(),
        )


def test_a_gated_delivery_is_sending_under_a_new_fence(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id = new_campaign(count=2)

    gated = _gate(ground, campaign_id, new_lane(campaign_id))

    assert [(row.number, row.fence, row.email) for row in gated] == [(1, 1, "m1@members.example"), (2, 1, "m2@members.example")]
    with ground.reading() as session:
        assert states(session, campaign_id) == {"sending": 2}


def test_what_one_lane_gated_another_does_not(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id = new_campaign(count=2)
    _gate(ground, campaign_id, new_lane(campaign_id))

    assert _gate(ground, campaign_id, new_lane(campaign_id)) == []


def test_a_lane_gates_its_own_again_only_under_its_fence(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)
    first = _gate(ground, campaign_id, lane_id)[0]

    assert _gate(ground, campaign_id, lane_id, Candidate(1, first.member_id, first.fence + 1)) == []
    assert [row.fence for row in _gate(ground, campaign_id, lane_id, Candidate(1, first.member_id, first.fence))] == [2]


@pytest.mark.parametrize(
    ("no", "reason"),
    [
        (lambda s: suppression.suppress(s, 1, SuppressionReason.UNSUBSCRIBED, now=clock.now()), "unsubscribed"),
        (lambda s: s.execute(update(Member).where(Member.id == 1).values(suspended_at=clock.now())), "suspended"),
        (lambda s: s.execute(update(Member).where(Member.id == 1).values(awaiting_guardian=True)), "guardian"),
        (lambda s: s.execute(update(Member).where(Member.id == 1).values(paused_until=clock.now() + timedelta(days=1))), "paused"),
        (lambda s: s.execute(update(Permission).where(Permission.member_id == 1).values(withdrawn_at=clock.now())), "no_consent"),
        (lambda s: s.execute(update(Subscription).where(Subscription.member_id == 1).values(ended_at=clock.now())), "not_in_list"),
    ],
)
def test_a_no_since_the_snapshot_stops_the_mail_at_the_gate(
    ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane, no: Callable[..., object], reason: str
) -> None:
    campaign_id = new_campaign(count=2)
    with ground.writing() as session:
        no(session)

    gated = _gate(ground, campaign_id, new_lane(campaign_id))

    assert [row.number for row in gated] == [2]
    with ground.reading() as session:
        stopped = session.get_one(Delivery, (campaign_id, 1))
        assert (State(stopped.state), stopped.reason) == (State.SUPPRESSED, reason)


def test_nothing_passes_for_an_edited_or_paused_campaign(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)

    assert _gate(ground, campaign_id, lane_id, revision=2) == []
    with ground.writing() as session:
        lifecycle.pause(session, campaign_id, now=clock.now())
    assert _gate(ground, campaign_id, lane_id) == []


def test_a_lane_declared_dead_gates_no_more(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)
    with ground.writing() as session:
        session.execute(update(Lane).where(Lane.id == lane_id).values(dead=True))

    with pytest.raises(LaneDead):
        _gate(ground, campaign_id, lane_id)


def test_recovery_reads_how_far_each_attempt_came(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id, lane_id = (made := new_campaign(count=4)), new_lane(made)
    folder = journal.Folder(ground.settings.journal_dir)
    living = journal.Journal(folder, lane_id)
    with ground.writing() as session:
        assert chunks.claim(session, campaign_id, lane_id, clock.now()) is not None
    _gate(ground, campaign_id, lane_id)
    living.dot(2, 1)
    living.dot(3, 1)
    living.reply(3, 1, 250, "2.0.0 ok")
    living.dot(4, 1)
    living.reply(4, 1, 550, "5.7.1 no")

    assert recovery.sweep(ground.database, folder, clock.now()) == []  # its lock is held: alive
    living.abandon()
    assert recovery.sweep(ground.database, folder, clock.now()) == [lane_id]

    with ground.reading() as session:
        rows = [State(row) for row in session.execute(select(Delivery.state).order_by(Delivery.number)).scalars()]
        chunk = session.get_one(Chunk, (campaign_id, 1))
        assert rows == [State.QUEUED, State.UNCERTAIN, State.ACCEPTED, State.REJECTED]
        assert chunk.lane_id is None
        assert chunk.due_at is not None
    assert folder.lanes() == []


def test_after_another_boot_a_missing_dot_proves_nothing(ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)
    folder = journal.Folder(ground.settings.journal_dir)
    living = journal.Journal(folder, lane_id)
    _gate(ground, campaign_id, lane_id)
    with ground.writing() as session:
        session.execute(update(Lane).values(boot="another"))
    living.abandon()

    recovery.sweep(ground.database, folder, clock.now())

    with ground.reading() as session:
        assert states(session, campaign_id) == {"uncertain": 1}


def test_a_lane_of_a_host_that_is_gone_is_settled_when_both_are_stale(
    ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane
) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)
    folder = journal.Folder(ground.settings.journal_dir)
    with ground.writing() as session:
        session.execute(update(Lane).where(Lane.id == lane_id).values(place="elsewhere"))
    _gate(ground, campaign_id, lane_id)

    recovery.sweep(ground.database, folder, clock.now())
    with ground.reading() as session:
        assert states(session, campaign_id) == {"sending": 1}

    with ground.writing() as session:
        session.execute(update(Lane).values(heartbeat_at=clock.now() - timedelta(minutes=5)))
    recovery.sweep(ground.database, folder, clock.now())
    with ground.reading() as session:
        assert states(session, campaign_id) == {"uncertain": 1}


def test_the_snapshot_counts_who_is_left_out_and_why(ground: Runtime, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign(count=3)

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert campaign.audience == 3
        assert campaign.left_out == {}
        assert campaign.snapshot_at is not None


def test_what_was_gated_and_not_begun_keeps_its_tries_and_the_last_reply(
    ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane
) -> None:
    campaign_id, lane_id = (made := new_campaign(count=1)), new_lane(made)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.DEFERRED, tries=3, code=452, reply="4.2.2 mailbox full"))
    (gated,) = _gate(ground, campaign_id, lane_id)
    with ground.writing() as session:
        record(session, campaign_id, lane_id, [Result(gated.number, gated.member_id, gated.fence, 0, outcomes.RELEASED)], clock.now())

    with ground.reading() as session:
        row = session.get_one(Delivery, (campaign_id, 1))
        assert (State(row.state), row.tries, row.code, row.reply) == (State.QUEUED, 3, 452, "4.2.2 mailbox full")
        assert row.due_at is not None and row.due_at <= clock.now()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_lane_begins_while_a_piece_of_the_snapshot_is_being_written(
    ground: Runtime, new_campaign: NewCampaign, new_lane: NewLane
) -> None:
    campaign_id = new_campaign(count=2)
    with ground.writing() as writing:
        writing.execute(update(Campaign).values(snapshot_at=None))
    with ground.writing() as writing:
        snapshot.take_piece(writing, campaign_id, clock.now())
        with ground.writing() as beside:
            beside.execute(text("SET LOCAL lock_timeout = '2s'"))
            at = clock.now()
            beside.add(Lane(campaign_id=campaign_id, place="p", boot="b", heartbeat_at=at, started_at=at))
            beside.flush()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_piece_of_the_snapshot_looks_members_up_by_key(ground: Runtime, new_campaign: NewCampaign) -> None:
    """With the rule as it is for a count of everybody the planner hashes all subscriptions: then this test says nothing."""
    campaign_id = new_campaign(count=4_000)
    with ground.writing() as session:
        snapshot.look_again(session)

    def plan(*, walked: bool) -> str:
        with ground.reading() as session:
            reason = allowed.reason_against(campaign_id, clock.now(), walked=walked)
            query = select(Member.id).where(Member.id > 0, reason.is_(None)).order_by(Member.id).limit(2_000)
            written = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            return "\n".join(session.execute(text(f"EXPLAIN {written}".replace(":", "\\:"))).scalars())

    assert "hashed SubPlan" in plan(walked=False)
    assert "hashed SubPlan" not in plan(walked=True)

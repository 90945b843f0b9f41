"""A lane over real SMTP: whatever a server does, nothing is doubled, nothing lost, and what nobody knows is called uncertain."""

import itertools
import os
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, Provider, State
from kairan.models.suppression import Suppression
from kairan.runtime import Runtime
from mailer.campaigns import decisions, lifecycle
from mailer.delivery import jobs, journal
from tests.support.fault_smtp import FaultSmtp
from tests.support.ground import states

NewCampaign = Callable[..., int]


def _rows(ground: Runtime, campaign_id: int) -> dict[int, Delivery]:
    with ground.reading() as session:
        return {row.number: row for row in session.execute(select(Delivery).where(Delivery.campaign_id == campaign_id)).scalars()}


def test_everybody_gets_one_mail_and_the_campaign_is_sent(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign(count=60)

    jobs.run_lane(campaign_id)

    assert sorted(server.ledger) == sorted(f"m{n}@members.example" for n in range(1, 61))
    with ground.writing() as session:
        assert states(session, campaign_id) == {"accepted": 60}
        assert lifecycle.finish_if_done(session, campaign_id, now=clock.now())
    assert journal.Folder(ground.settings.journal_dir).lanes() == []


@pytest.mark.parametrize(
    ("word", "state", "in_ledger"),
    [
        ("550-rcpt", State.REJECTED, 0),
        ("450-rcpt", State.DEFERRED, 0),
        ("451-data", State.DEFERRED, 0),
        ("554-dot", State.REJECTED, 0),
        ("451-dot", State.DEFERRED, 0),
        ("421-mail", State.QUEUED, 0),
        ("421-dot", State.QUEUED, 0),
        ("drop-mail", State.QUEUED, 0),
        ("drop-data", State.QUEUED, 0),
        ("drop-body", State.UNCERTAIN, 0),  # body and dot leave together: who drops while reading them may have had both
        ("drop-dot", State.UNCERTAIN, 1),
        ("partial-dot", State.UNCERTAIN, 1),
        ("garbage-dot", State.UNCERTAIN, 1),
        ("long-dot", State.UNCERTAIN, 1),
        ("reply-drop", State.ACCEPTED, 1),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_answer_leads_to_its_state(
    ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign, word: str, state: State, in_ledger: int
) -> None:
    campaign_id = new_campaign(word, "fine", "fine")

    jobs.run_lane(campaign_id)

    rows = _rows(ground, campaign_id)
    assert State(rows[1].state) is state
    assert server.ledger.count(f"{word}.1@t.example") == in_ledger
    assert {State(rows[2].state), State(rows[3].state)} == {State.ACCEPTED}
    assert rows[1].tries == (1 if state is State.DEFERRED else 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_put_back_makes_its_chunk_due_again(ground: Runtime, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign("450-rcpt", "fine")

    jobs.run_lane(campaign_id)

    with ground.reading() as session:
        chunk = session.get_one(Chunk, (campaign_id, 1))
        assert chunk.lane_id is None
        assert chunk.due_at == session.get_one(Delivery, (campaign_id, 1)).due_at
        assert chunk.due_at > clock.now()


def test_a_mailbox_that_does_not_exist_is_suppressed(ground: Runtime, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign("550-rcpt")

    jobs.run_lane(campaign_id)

    with ground.reading() as session:
        assert session.execute(select(Suppression.reason)).scalars().all() == ["bounced"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_refused_sender_pauses_the_campaign_with_the_servers_words(ground: Runtime, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign("550-mail", "fine")

    jobs.run_lane(campaign_id)

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.paused_reason) == (CampaignStatus.PAUSED, "sender_refused")
        assert "5.7.1" in (campaign.paused_detail or "")


def test_smtp_that_is_not_there_costs_no_delivery_anything(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign(count=5)
    object.__setattr__(ground.settings, "smtp_url", "smtp://127.0.0.1:1")

    jobs.run_lane(campaign_id)

    with ground.reading() as session:
        assert states(session, campaign_id) == {"queued": 5}
        provider = session.execute(select(Provider)).scalar_one()
        assert provider.broken_until is not None
        assert provider.broken_until > clock.now()
        assert provider.last_error
    assert server.mails == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_server_without_pipelining_is_spoken_to_step_by_step(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    server.pipelining = False
    campaign_id = new_campaign("fine", "550-rcpt", "fine")

    jobs.run_lane(campaign_id)

    assert sorted(server.ledger) == ["fine.1@t.example", "fine.3@t.example"]
    with ground.reading() as session:
        assert states(session, campaign_id) == {"accepted": 2, "rejected": 1}


def test_a_paused_campaign_sends_nothing(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign(count=5)
    with ground.writing() as session:
        lifecycle.pause(session, campaign_id, now=clock.now())

    jobs.run_lane(campaign_id)

    assert server.mails == []


def test_a_second_lane_finds_nothing_to_double(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign(count=20)

    jobs.run_lane(campaign_id)
    with ground.writing() as session:  # a doorbell that rings late, a chunk that looks due although it is done
        session.execute(update(Chunk).values(due_at=clock.now()))
    jobs.run_lane(campaign_id)

    assert len(server.ledger) == 20


def test_a_person_decides_what_is_uncertain(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    campaign_id = new_campaign("drop-dot", "fine")
    jobs.run_lane(campaign_id)
    with ground.writing() as session:
        lifecycle.finish_if_done(session, campaign_id, now=clock.now())
        assert states(session, campaign_id) == {"uncertain": 1, "accepted": 1}

    assert decisions.decide(ground, campaign_id, again=True, actor="account:1") == 1
    jobs.run_lane(campaign_id)
    assert server.ledger.count("drop-dot.1@t.example") == 2  # a person asked for it

    assert decisions.decide(ground, campaign_id, again=False, actor="account:1") == 1
    with ground.writing() as session:
        assert states(session, campaign_id) == {"accepted": 2}
        assert lifecycle.finish_if_done(session, campaign_id, now=clock.now())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_journal_that_cannot_grow_stops_before_the_dot_and_pauses(
    ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = new_campaign(count=60)
    allocate, calls = os.posix_fallocate, itertools.count()

    def full(*arguments: int) -> None:
        if next(calls):  # the first segment has its room, the second finds the disk full
            raise OSError(28, "No space left on device")
        allocate(*arguments)

    monkeypatch.setattr("mailer.delivery.journal.SEGMENT_RECORDS", 4)
    monkeypatch.setattr("mailer.delivery.journal.os.posix_fallocate", full)
    jobs.run_lane(campaign_id)

    assert len(server.ledger) <= 4  # no dot without its D
    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.paused_reason) == (CampaignStatus.PAUSED, "journal")
        assert states(session, campaign_id) == {"queued": 60 - len(server.ledger), "accepted": len(server.ledger)}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_disk_without_room_for_a_journal_pauses_before_anything_is_claimed(
    ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = new_campaign(count=3)

    def full(*_arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mailer.delivery.journal.os.posix_fallocate", full)
    jobs.run_lane(campaign_id)

    assert server.ledger == []
    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.paused_reason) == (CampaignStatus.PAUSED, "journal")

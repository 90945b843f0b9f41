"""The figures of a campaign on its way are those of a scan, without scanning what has ended."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, update

from kairan.models.deliveries import Chunk, Delivery, State
from kairan.runtime import Runtime
from mailer.delivery import chunks, uncertain
from mailer.reports import chunk_counts, state_counts, tallies
from mailer.reports.chunk_counts import Domain
from tests.support import ground as support
from tests.support.ground import NOW


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with support.running(support.make_settings(database_url, tmp_path)) as started:
        yield started


@pytest.fixture
def campaign_id(ground: Runtime, monkeypatch: pytest.MonkeyPatch) -> int:
    """4,100 deliveries in three chunks, counted as those of a large campaign are."""
    monkeypatch.setattr(tallies, "SMALL", 0)
    monkeypatch.setattr(tallies, "KEPT_S", 0.0)
    with ground.writing() as session:
        into = support.make_list(session)
        support.make_members(session, 4_000, into)
        support.make_members(session, 100, into, first=5_000, domain="Other.Example")
        campaign_id = support.make_campaign(session, into).id
    support.start_sending(ground, campaign_id)
    return campaign_id


def _put(ground: Runtime, campaign_id: int, first: int, last: int, **values: object) -> None:
    with ground.writing() as session:
        session.execute(
            update(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.number.between(first, last)).values(due_at=None, **values)
        )


def _finish(ground: Runtime, campaign_id: int, chunk: int) -> None:
    with ground.writing() as session:
        session.execute(update(Chunk).where(Chunk.number == chunk).values(lane_id=7))
    with ground.writing() as session:
        chunks.let_go(session, campaign_id, chunk, 7)


def _agrees(ground: Runtime, campaign_id: int) -> dict[str, int]:
    with ground.reading() as session:
        found = tallies.tally(session, campaign_id).states
        assert found == state_counts.fresh(session, campaign_id)
    return {name: count for name, count in found.items() if count}


def test_what_lanes_do_is_counted_as_a_scan_counts_it(ground, campaign_id):
    assert _agrees(ground, campaign_id) == {"queued": 4_100}

    with ground.writing() as session:  # a lane holds the first chunk, and 500 of it have gone
        session.execute(update(Chunk).where(Chunk.number == 1).values(lane_id=7))
    _put(ground, campaign_id, 1, 500, state=State.ACCEPTED, ended_at=NOW)
    assert _agrees(ground, campaign_id) == {"queued": 3_600, "accepted": 500}

    _put(ground, campaign_id, 501, 1_990, state=State.ACCEPTED, ended_at=NOW)
    _put(ground, campaign_id, 1_991, 2_000, state=State.UNCERTAIN, ended_at=NOW)
    _finish(ground, campaign_id, 1)
    assert _agrees(ground, campaign_id) == {"queued": 2_100, "accepted": 1_990, "uncertain": 10}

    with ground.writing() as session:
        uncertain.send_again(session, campaign_id, NOW, [1_991, 1_992, 3])
    assert _agrees(ground, campaign_id) == {"queued": 2_102, "accepted": 1_990, "uncertain": 8}


def test_a_chunk_that_has_ended_is_never_read_again(ground, campaign_id):
    for chunk, (first, last) in {1: (1, 2_000), 2: (2_001, 4_000), 3: (4_001, 4_100)}.items():
        _put(ground, campaign_id, first, last, state=State.ACCEPTED, ended_at=NOW)
        _finish(ground, campaign_id, chunk)
    _agrees(ground, campaign_id)
    read: list[str] = []
    event.listen(ground.database.engine, "before_cursor_execute", lambda *given: read.append(given[2]))

    with ground.reading() as session:
        assert tallies.tally(session, campaign_id).states["accepted"] == 4_100

    assert not any("deliveries" in statement for statement in read)


def test_what_changed_unseen_is_found_within_some_looks(ground, campaign_id, monkeypatch):
    _agrees(ground, campaign_id)
    _put(ground, campaign_id, 2_001, 2_100, state=State.CANCELLED, ended_at=NOW)  # no lane, and the chunk looks as before
    monkeypatch.setattr(tallies, "OLD_S", -1.0)

    assert _agrees(ground, campaign_id) == {"queued": 4_000, "cancelled": 100}


def test_replies_are_grouped_by_what_they_mean(ground, campaign_id):
    for number, reply in ((1, "4.2.2 mailbox full, id a1"), (2, "4.2.2 mailbox full, id b2"), (3, "4.7.1 greylisted")):
        _put(ground, campaign_id, number, number, state=State.DEFERRED, code=452, reply=reply, provider_id=1)
    with ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 2).values(due_at=NOW + timedelta(minutes=5)))

    with ground.reading() as session:
        tally = tallies.tally(session, campaign_id)

    assert [(each.code, each.sample, each.count) for each in tally.problems()] == [
        (452, "4.2.2 mailbox full, id a1", 2),
        (452, "4.7.1 greylisted", 1),
    ]
    assert tally.next_due(State.DEFERRED) == tally.problems()[0].due_at == NOW + timedelta(minutes=5)
    assert tally.providers == {1: {"deferred": 3}}
    assert tally.chunks_with(State.DEFERRED) == [1]


def test_recipient_domains_become_whole_over_several_looks(ground, campaign_id):
    _put(ground, campaign_id, 4_001, 4_002, state=State.REJECTED, ended_at=NOW)
    with ground.reading() as session:
        tally = tallies.tally(session, campaign_id)
        tallies.count_domains(session, campaign_id, 1)
        assert tally.domains_made_of() == 2_000
        tallies.count_domains(session, campaign_id, 2)

    assert tally.domains_made_of() == 4_100
    assert tally.domains() == [("members.example", Domain(total=4_000)), ("other.example", Domain(rejected=2, total=100))]
    assert tally.domains(1)[-1] == ("", Domain(rejected=2, total=100))


def test_small_domains_of_a_chunk_are_kept_together(ground, campaign_id, monkeypatch):
    monkeypatch.setattr(chunk_counts, "DOMAINS_KEPT", 0)
    with ground.reading() as session:
        assert chunk_counts.domains_of(session, campaign_id, (3_999, 4_001)) == {"": Domain(total=3)}


def test_the_rate_is_known_at_the_first_look(ground, campaign_id):
    _put(ground, campaign_id, 1, 600, state=State.ACCEPTED, ended_at=NOW - timedelta(seconds=1))
    with ground.reading() as session:
        assert tallies.tally(session, campaign_id).rate_per_s(NOW) == 600 / tallies.WINDOW_S


def test_uncertain_deliveries_are_listed_from_their_chunks(ground, campaign_id):
    _put(ground, campaign_id, 7, 8, state=State.UNCERTAIN, reply="lost", ended_at=NOW)
    _put(ground, campaign_id, 4_050, 4_050, state=State.UNCERTAIN, ended_at=NOW)
    with ground.reading() as session:
        within = tallies.tally(session, campaign_id).chunks_with(State.UNCERTAIN)
        assert within == [1, 3]
        assert [row.number for row in uncertain.listed(session, campaign_id, within=within)] == [7, 8, 4_050]
        assert [row.email for row in uncertain.listed(session, campaign_id, within=within, after=7, limit=1)] == ["m8@members.example"]

"""Each fetch is in the database once, under the right heading, or is counted with the reason why not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import delete, func, select, update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Aspect, Engagement, Event, Facet, LinkEngagement, StreamPosition
from tests.support import recount
from tests.tracking.conftest import APPLE_RELAY, GMAIL, PERSON, Sent
from tracking import erasure, ingest, packing
from tracking.buffer import FIELD, STREAM
from tracking.packing import Fetch

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
NOTHING = {"people": 0, "machines": 0, "unique": 0}


def put(sent: Sent, *fetches: Fetch) -> None:
    sent.redis.xadd(STREAM, {FIELD: packing.pack(fetches, {})})


def fetch(sent: Sent, number: int = 1, *, kind: int = 1, link: int = 0, after_s: float = 0, **other: Any) -> Fetch:
    ms = int((clock.now() + timedelta(seconds=after_s)).timestamp() * 1_000)
    return Fetch(sent.campaign_id, number, kind, link, ms, other.get("is_head", False), other.get("agent", PERSON), b"\xcb\x00\x71")


def test_an_open_and_a_click_are_recorded_against_the_member(sent: Sent) -> None:
    sent.open()
    sent.click()
    sent.drain()

    opened, clicked = sent.events()
    assert (opened.kind, opened.number, opened.member_id, opened.machine, opened.rule) == (1, 1, 1, False, "person/1")
    assert (clicked.kind, clicked.link, clicked.client, clicked.network) == (2, sent.links["text"], "Thunderbird", "203.0.113.0/24")
    assert sent.figures() == ({"people": 1, "machines": 0, "unique": 1}, {"people": 1, "machines": 0, "unique": 1})


def test_machines_are_kept_and_told_apart(sent: Sent) -> None:
    sent.open(1, method="HEAD")
    sent.open(2, agent=APPLE_RELAY)
    sent.open(3, agent=GMAIL)
    sent.click(4, agent="Barracuda Sentinel (EE)")
    sent.drain()

    assert [(event.machine, event.rule) for event in sent.events()] == [
        (True, "head/1"),
        (True, "apple_relay/1"),
        (False, "proxy_gmail/1"),
        (True, "scanner/1"),
    ]
    assert sent.figures() == ({"people": 1, "machines": 2, "unique": 1}, {"people": 0, "machines": 1, "unique": 0})


def test_a_fetch_within_two_seconds_of_acceptance_is_a_machines(sent: Sent) -> None:
    now = clock.now()
    with sent.ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 1).values(ended_at=now - timedelta(seconds=1)))
        session.execute(update(Delivery).where(Delivery.number == 2).values(ended_at=now - timedelta(seconds=10)))
        session.execute(update(Delivery).where(Delivery.number == 3).values(state=State.SENDING, ended_at=None))
    put(sent, fetch(sent, 1), fetch(sent, 2), fetch(sent, 3))
    sent.drain()

    assert {event.number: event.rule for event in sent.events()} == {1: "early/1", 2: "person/1", 3: "early/1"}


@pytest.mark.parametrize(
    ("after_ms", "rule"),
    [(-200, "early/1"), (0, "early/1"), (1_999, "early/1"), (2_000, "person/1"), (-700_000, "person/1"), (None, "person/1")],
)
def test_nobody_reads_in_the_first_two_seconds(sent: Sent, after_ms: int | None, rule: str) -> None:
    """The last is a delivery of which nobody knows when it was accepted: then time says nothing."""
    one = fetch(sent)
    accepted = None if after_ms is None else datetime.fromtimestamp((one.ms - after_ms) / 1_000, UTC)
    with sent.ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 1).values(ended_at=accepted))
    put(sent, one)
    sent.drain()

    assert [event.rule for event in sent.events()] == [rule]


def test_a_member_counts_once_however_often_they_look(sent: Sent) -> None:
    text, image = sent.links["text"], sent.links["image"]
    put(sent, fetch(sent), fetch(sent, after_s=60), fetch(sent, kind=2, link=text), fetch(sent, kind=2, link=image, after_s=5))
    sent.drain()
    put(sent, fetch(sent, after_s=120), fetch(sent, kind=2, link=text, after_s=120), fetch(sent, 2, kind=2, link=text, after_s=120))
    sent.drain()

    assert sent.figures() == ({"people": 3, "machines": 0, "unique": 1}, {"people": 4, "machines": 0, "unique": 2})
    hours = sent.hours()
    assert {link: sum(row.unique for row in hours if row.kind == 2 and row.link == link) for link in (text, image)} == {text: 2, image: 1}
    found = sent.engagement()
    assert found is not None and (found.opens, found.clicks) == (3, 3)
    assert found.first_open_at is not None and found.last_at - found.first_open_at >= timedelta(seconds=100)


def test_a_repeated_fetch_within_a_second_is_one_act(sent: Sent) -> None:
    again = fetch(sent)
    put(sent, again, again._replace(ms=again.ms + 900))
    put(sent, again._replace(ms=again.ms + 950))
    sent.drain()
    put(sent, again._replace(ms=again.ms + 990), again._replace(ms=again.ms + 2_500))
    sent.drain()

    assert sent.figures()[0] == {"people": 2, "machines": 0, "unique": 1}
    assert sent.dropped() == {"duplicate": 3}


def test_clicks_on_several_links_at_once_are_a_machines(sent: Sent) -> None:
    text, image = sent.links["text"], sent.links["image"]
    at_once = [fetch(sent, 1, kind=2, link=link, after_s=wait) for link, wait in ((text, 0), (image, 0.3), (text, 1.9))]
    one_by_one = [fetch(sent, 2, kind=2, link=link, after_s=wait) for link, wait in ((text, 0), (image, 6), (text, 12))]
    double = [fetch(sent, 3, kind=2, link=text, after_s=wait) for wait in (0, 0.4, 0.8)]
    put(sent, *at_once, *one_by_one, *double)
    sent.drain()

    assert {event.rule for event in sent.events() if event.number == 1} == {"burst/1"}
    assert sent.figures()[1] == {"people": 4, "machines": 3, "unique": 2}


def test_a_drain_killed_before_the_trim_doubles_nothing(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sent.open()
    sent.click()
    sent.endpoint.buffer.flush()
    with monkeypatch.context() as killed:
        killed.setattr(ingest, "trim", lambda redis, last_id: None)
        ingest.drain(sent.ground.database, sent.redis, clock.now())
    assert sent.redis.xlen(STREAM) == 1

    sent.drain()

    assert sent.redis.xlen(STREAM) == 0
    assert sent.figures() == ({"people": 1, "machines": 0, "unique": 1}, {"people": 1, "machines": 0, "unique": 1})


def test_a_drain_killed_before_the_commit_loses_nothing(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sent.open()
    sent.endpoint.buffer.flush()
    with monkeypatch.context() as killed:
        killed.setattr(ingest.rollups, "add", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest.drain(sent.ground.database, sent.redis, clock.now())
    assert sent.events() == []

    sent.drain()

    assert len(sent.events()) == 1
    assert sent.figures()[0] == {"people": 1, "machines": 0, "unique": 1}


def test_a_redis_that_lost_everything_is_read_from_its_beginning(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sent.open(1)
    sent.drain()
    sent.redis.flushall()
    sent.open(2)
    sent.endpoint.buffer.flush()
    with monkeypatch.context() as killed:
        killed.setattr(ingest, "trim", lambda redis, last_id: None)
        ingest.drain(sent.ground.database, sent.redis, clock.now())
    sent.open(3)
    sent.drain()

    assert [event.number for event in sent.events()] == [1, 2, 3]
    assert sent.figures()[0] == {"people": 3, "machines": 0, "unique": 3}


def test_what_two_drains_read_at_once_is_written_once(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sent.open()
    sent.endpoint.buffer.flush()
    read = ingest._read

    def second_drain_first(redis: "Redis", epoch: str, last_id: str, most_bytes: int) -> Any:
        entries = read(redis, epoch, last_id, most_bytes)
        monkeypatch.setattr(ingest, "_read", read)
        assert ingest.drain(sent.ground.database, sent.redis, clock.now()) == 1
        return entries

    monkeypatch.setattr(ingest, "_read", second_drain_first)

    assert ingest.drain(sent.ground.database, sent.redis, clock.now()) == 0
    assert len(sent.events()) == 1
    assert sent.figures()[0] == {"people": 1, "machines": 0, "unique": 1}


def test_who_refused_since_is_not_recorded_at_all(sent: Sent) -> None:
    sent.member(1, recording="none")
    sent.member(2, suspended_at=clock.now())
    with sent.ground.writing() as session:
        session.execute(delete(Member).where(Member.id == session.get_one(Delivery, (sent.campaign_id, 3)).member_id))
    for number in (1, 2, 3):
        sent.open(number)
    sent.drain()

    assert (sent.events(), sent.hours()) == ([], [])
    assert sent.dropped() == {"refused": 1, "suspended": 1, "erased": 1}


def test_who_chose_the_aggregate_is_counted_without_a_name(sent: Sent) -> None:
    sent.member(1, recording="aggregate")
    sent.open(1)
    sent.open(0)
    sent.click(0)
    sent.drain()

    assert sent.events() == []
    assert sent.engagement() is None
    assert sent.figures() == ({"people": 2, "machines": 0, "unique": 0}, {"people": 1, "machines": 0, "unique": 0})
    assert [row.anonymous for row in sent.hours()] == [2, 1]


@pytest.mark.parametrize(("recording", "opens", "events"), [("none", NOTHING, 0), ("aggregate", {**NOTHING, "people": 1}, 0)])
def test_what_the_campaign_does_not_record_is_not_recorded(sent: Sent, recording: str, opens: dict[str, int], events: int) -> None:
    with sent.ground.writing() as session:
        session.execute(update(Campaign).values(recording=recording))
    sent.open()
    sent.drain()

    assert (sent.figures()[0], len(sent.events())) == (opens, events)


def test_what_cannot_be_is_counted_with_its_reason(sent: Sent) -> None:
    put(sent, fetch(sent)._replace(campaign_id=999_999), fetch(sent, 500), fetch(sent)._replace(ms=86_400_000))
    sent.redis.xadd(STREAM, {FIELD: b"\x01nonsense"})
    sent.redis.xadd(STREAM, {"other": b""})
    sent.drain()

    assert sent.events() == []
    assert sent.dropped() == {"unknown": 2, "clock": 1, "malformed": 2}
    assert sent.redis.xlen(STREAM) == 0


def test_redis_away_is_no_fault_of_the_drain(sent: Sent) -> None:
    with Redis(unix_socket_path="/nowhere/v.sock") as away:
        assert ingest.drain(sent.ground.database, away, clock.now()) == 0


def test_an_erased_member_is_in_no_event_and_the_counts_stay(sent: Sent) -> None:
    sent.open(1)
    sent.click(1)
    sent.open(2)
    sent.drain()
    before = sent.figures()

    with sent.ground.writing() as session:
        assert erasure.forget(session, 1, clock.now()) == 2

    assert [(event.member_id, event.network) for event in sent.events()] == [(None, None), (None, None), (2, "203.0.113.0/24")]
    with sent.ground.reading() as session:
        assert list(session.scalars(select(Engagement.member_id).order_by(Engagement.number))) == [None, 2]
    assert sent.figures() == before


def test_what_people_read_with_and_on_is_counted_apart(sent: Sent) -> None:
    put(
        sent,
        fetch(sent, 1, agent=IPHONE),
        fetch(sent, 1, agent=PERSON, after_s=60),
        fetch(sent, 2, agent=GMAIL),
        fetch(sent, 3, agent=APPLE_RELAY),
    )
    sent.member(4, recording="aggregate")
    put(sent, fetch(sent, 4, agent=IPHONE))
    sent.drain()

    with sent.ground.reading() as session:
        facets = {(Aspect(row.aspect), row.value): (row.opens, row.openers, row.machines) for row in session.scalars(select(Facet))}
        assert recount.from_counters(session, sent.campaign_id)["openers"] == 2
    assert facets[Aspect.CLIENT, "Apple Mail"] == (2, 1, 1)
    assert facets[Aspect.CLIENT, "Thunderbird"] == (1, 0, 0)
    assert (facets[Aspect.DEVICE, "phone"], facets[Aspect.DEVICE, "computer"]) == ((2, 1, 0), (1, 0, 0))
    assert facets[Aspect.DEVICE, ""] == (1, 1, 1)
    # Who is recorded in the aggregate has no domain: it may be theirs alone.
    assert sum(row[0] for (aspect, value), row in facets.items() if aspect == Aspect.DOMAIN and value) == 3
    assert facets[Aspect.DOMAIN, ""] == (1, 0, 0)


def test_the_hours_add_up_to_the_events_and_to_the_engagement(sent: Sent) -> None:
    links = list(sent.links.values())
    for part in range(6):
        put(
            sent,
            *[
                fetch(
                    sent,
                    1 + step % 4,
                    kind=1 + step % 2,
                    link=links[step // 2 % 2] if step % 2 else 0,
                    after_s=part * 4_000 + step * 7,
                    is_head=step % 5 == 0,
                    agent=(PERSON, GMAIL, APPLE_RELAY, IPHONE)[step % 7 % 4],
                )
                for step in range(100)
            ],
        )
    sent.drain()

    opens, clicks = sent.figures()
    with sent.ground.reading() as session:
        totals = session.execute(
            select(
                func.sum(Engagement.opens),
                func.sum(Engagement.machine_opens),
                func.sum(Engagement.clicks),
                func.sum(Engagement.machine_clicks),
            )
        ).one()
        by_link = session.execute(select(func.sum(LinkEngagement.clicks), func.sum(LinkEngagement.machine_clicks))).one()
        rows = {kind: count for kind, count in session.execute(select(Event.kind, func.count()).group_by(Event.kind))}
        position = session.scalars(select(StreamPosition)).one()
        assert recount.assert_equal(session, sent.campaign_id) == 600
    assert tuple(totals) == (opens["people"], opens["machines"], clicks["people"], clicks["machines"])
    assert tuple(by_link) == (clicks["people"], clicks["machines"])
    assert rows == {1: opens["people"] + opens["machines"], 2: clicks["people"] + clicks["machines"]}
    assert (sum(rows.values()), opens["unique"], clicks["unique"]) == (600, 2, 2)
    assert position.stream == STREAM and len(position.epoch) == 32

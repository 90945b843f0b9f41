"""When rules change, what is kept is judged anew, and every counter is again what its events add up to."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from kairan.models.events import Event
from tests.support import recount
from tests.tracking.conftest import APPLE_RELAY, GMAIL, PERSON, Sent
from tests.tracking.test_ingest import fetch, put
from tracking import machines, rebuild, rejudge
from tracking.rebuild import Outcome


@pytest.fixture(autouse=True)
def _no_memory() -> Any:
    rejudge.by_name.cache_clear()
    yield
    rejudge.by_name.cache_clear()


def rebuilt(sent: Sent, *, timed: bool = False) -> Outcome:
    return list(rebuild.rebuild(sent.ground.database, sent.campaign_id, timed=timed))[-1]


def told(sent: Sent) -> dict[str, int]:
    with sent.ground.reading() as session:
        recount.assert_equal(session, sent.campaign_id)
        return dict(session.execute(select(Event.rule, func.count()).group_by(Event.rule).order_by(Event.rule)).all())


def read(sent: Sent) -> None:
    """Of everything something: proxies, machines, a burst, a quick one, several hours."""
    links = list(sent.links.values())
    for hour in (0, 3_600):
        put(
            sent,
            *[fetch(sent, number, agent=agent, after_s=hour) for number, agent in ((1, PERSON), (2, GMAIL), (3, APPLE_RELAY), (4, GMAIL))],
            *[fetch(sent, 2, agent=GMAIL, kind=2, link=links[at % 2], after_s=hour + 60 + at * 0.6) for at in range(4)],
            fetch(sent, 1, kind=2, link=links[0], after_s=hour + 90),
            fetch(sent, 4, kind=2, link=links[1], after_s=hour + 90, is_head=True),
        )
        sent.drain()


def turned(name: str, **change: Any) -> tuple[machines.Rule, ...]:
    return tuple(replace(rule, **change) if rule.rule.startswith(name) else rule for rule in machines.AGENT_RULES)


def test_rules_that_did_not_change_change_nothing(sent: Sent) -> None:
    read(sent)
    before = told(sent)

    for timed in (False, True):
        assert (rebuilt(sent, timed=timed).changed, told(sent)) == (0, before)
    assert {"person/1", "proxy_gmail/1", "apple_relay/1", "burst/1", "head/1"} == set(before)


def test_a_rule_that_was_turned_round_is_followed(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    read(sent)
    opens, _clicks = sent.figures()
    assert (opens["people"], opens["machines"], opens["unique"]) == (6, 2, 3)
    monkeypatch.setattr(machines, "AGENT_RULES", turned("proxy_gmail", machine=True, rule="proxy_gmail/2"))

    outcome = rebuilt(sent)
    opens, _clicks = sent.figures()
    assert (outcome.events, outcome.changed, outcome.left) == (20, 4, 0)
    assert (opens["people"], opens["machines"], opens["unique"]) == (2, 6, 1)
    assert "proxy_gmail/1" not in told(sent)
    assert rebuilt(sent).changed == 0


def test_a_rule_that_was_taken_out_leaves_people(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    read(sent)
    kept = tuple(rule for rule in machines.AGENT_RULES if not rule.rule.startswith("apple_relay"))
    monkeypatch.setattr(machines, "AGENT_RULES", kept)

    assert rebuilt(sent).changed == 2
    assert (told(sent)["person/1"], sent.figures()[0]["unique"]) == (6, 4)


def test_other_seconds_are_followed_where_the_timed_rules_changed(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    read(sent)
    monkeypatch.setattr(machines, "BURST_CLICKS", 5)
    monkeypatch.setattr(machines, "BURST", "burst/2")
    with sent.ground.reading() as session:
        assert rebuild.time_has_changed(session)

    assert rebuilt(sent, timed=True).changed == 8
    assert told(sent)["proxy_gmail/1"] == 12
    assert (sent.figures()[1]["people"], sent.figures()[1]["machines"]) == (10, 2)
    with sent.ground.writing() as session:
        rebuild.all_judged(session)
    with sent.ground.reading() as session:
        assert not rebuild.time_has_changed(session)


def test_what_events_no_longer_tell_stays_counted(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month that retention dropped took one of the delivery's events along: its counters know more than its events."""
    read(sent)
    before = sent.figures()
    with sent.ground.writing() as session:
        first = session.scalars(select(Event.entry).where(Event.number == 2).order_by(Event.occurred_at)).first()
        session.execute(delete(Event).where(Event.number == 2, Event.entry == first, Event.kind == 1))
    monkeypatch.setattr(machines, "AGENT_RULES", turned("proxy_gmail", machine=True))

    outcome = rebuilt(sent)
    assert (outcome.changed, outcome.left) == (2, 9)
    assert before[0]["people"] - sent.figures()[0]["people"] == 2


def test_members_recorded_in_the_aggregate_stay_counted(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sent.member(3, recording="aggregate")
    read(sent)
    put(sent, fetch(sent, 3, agent=GMAIL, after_s=7_300))
    sent.drain()
    monkeypatch.setattr(machines, "AGENT_RULES", turned("proxy_gmail", machine=True))

    rebuilt(sent)
    assert sent.figures()[0] == {"people": 3, "machines": 2 + 4, "unique": 1}

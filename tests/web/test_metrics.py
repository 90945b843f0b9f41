"""/metrics: the figures of an installation, for a monitor and for nobody else."""

import re

import pytest
from sqlalchemy import update

from kairan import clock
from kairan.models.deliveries import Provider
from mailer.app import create_public_app
from mailer.delivery import providers
from mailer.reports import tallies
from tests.support import ground as support

SAMPLE = re.compile(r'^([a-z_]+)(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? (\d+(\.\d+)?)$')
TOKEN = "a token of the monitor"


def _samples(page: str) -> dict[str, float]:
    """As a scraper reads them: every line is a comment or a sample."""
    lines = [line for line in page.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.match(line) for line in lines), lines
    assert {SAMPLE.match(line)[1] for line in lines} <= set(re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", page, re.MULTILINE))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_it_says_what_a_monitor_asks(ground, visitor, monkeypatch):
    monkeypatch.setattr(tallies, "KEPT_S", 0.0)
    with ground.writing() as session:
        into = support.make_list(session)
        support.make_members(session, 3, into)
        campaign_id = support.make_campaign(session, into).id
        session.add(Provider(id=1, name='The "fast" one', host="h", port=25, security="none", daily_ceiling=50, updated_at=clock.now()))
        session.flush()
        providers.open_breaker(session, 1, "away", clock.now())
    support.start_sending(ground, campaign_id)
    ground.settings.journal_dir.mkdir()
    (ground.settings.journal_dir / "lane-1-ab.journal").write_bytes(b"x" * 512)

    answer = visitor.get("/metrics")

    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = _samples(answer.text.replace('\\"', "'"))
    name = "name=\"The 'fast' one\""
    assert found[f'kairan_deliveries{{campaign="{campaign_id}",state="queued"}}'] == 3
    assert found['kairan_campaigns{status="sending"}'] == 1
    assert found[f'kairan_provider_up{{provider="1",{name}}}'] == 0
    assert found[f'kairan_provider_ceiling{{provider="1",{name}}}'] == 50
    assert (found["kairan_journal_segments"], found["kairan_journal_bytes"]) == (1, 512)
    assert {
        "kairan_lanes_alive",
        "kairan_outbox_waiting",
        "kairan_tracking_stream_length",
        'kairan_queue_length{queue="lane"}',
    } <= found.keys()
    assert found['kairan_jobs{state="failed"}'] == 0
    assert found["kairan_redis_up"] == 1


def test_without_redis_it_says_so(ground, visitor, monkeypatch):
    monkeypatch.setattr(ground.queues, "waiting", lambda _name: (_ for _ in ()).throw(OSError()))

    found = _samples(visitor.get("/metrics").text)

    assert found["kairan_redis_up"] == 0
    assert "kairan_lanes_alive" in found


@pytest.mark.parametrize(
    ("changes", "address", "headers", "status"),
    [
        ({}, "127.0.0.1", {}, 200),
        ({}, "203.0.113.5", {}, 404),
        ({}, "127.0.0.1", {"X-Forwarded-For": "203.0.113.5"}, 404),
        ({"base_url": "https://mail.example.org"}, "127.0.0.1", {}, 404),
        ({"base_url": "https://mail.example.org", "proxy_hops": 1}, "127.0.0.1", {}, 200),
        ({"metrics_token": TOKEN}, "127.0.0.1", {}, 401),
        ({"metrics_token": TOKEN}, "203.0.113.5", {"Authorization": "Bearer wrong"}, 401),
        ({"metrics_token": TOKEN}, "203.0.113.5", {"Authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
def test_it_is_not_for_the_public(ground, visitor, changes, address, headers, status):
    for name, value in changes.items():
        object.__setattr__(ground.settings, name, value)

    assert visitor.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code == status


def test_the_public_side_does_not_have_it(ground):
    assert create_public_app(ground).test_client().get("/metrics").status_code == 404


def test_it_is_read_without_waiting_for_a_writer(ground, visitor):
    with ground.writing() as session:
        session.execute(update(Provider).values(port=1))
        assert visitor.get("/metrics").status_code == 200

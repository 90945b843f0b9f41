"""A person is told once a cause, in their language, by what they chose; and again only after it was over."""

import hashlib
import hmac
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from kairan import clock, standard_webhooks, vault
from kairan.models.alerts import Alert, AlertHook, AlertPost, PostState
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Provider, State
from kairan.models.outbox import OutboxMail
from kairan.runtime import Runtime
from mailer.accounts import people
from mailer.campaigns import alert_causes, alert_posts, alerts
from mailer.delivery import providers
from mailer.ops.lookout import Lookout
from mailer.reports import tallies
from tests.support import ground as support

BASE = "https://mail.example.org"


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    given = replace(support.make_settings(database_url, tmp_path, redis=valkey), base_url=BASE, private_targets="127.0.0.1")
    with support.running(given) as started:
        with started.writing() as session:
            people.add(session, "admin@example.org", "admin", clock.now()).language = "ja"
            people.add(session, "writer@example.org", "marketer", clock.now())
            people.add(session, "looker@example.org", "analyst", clock.now())
        yield started


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch):
    monkeypatch.setattr(tallies, "KEPT_S", 0.0)


@pytest.fixture
def campaign_id(ground: Runtime) -> int:
    with ground.writing() as session:
        into = support.make_list(session)
        support.make_members(session, 3, into)
        campaign_id = support.make_campaign(session, into).id
    support.start_sending(ground, campaign_id, clock.now())
    return campaign_id


def _told(ground: Runtime) -> list[tuple[str, str]]:
    """Recipient and subject of each mail so far."""
    with ground.reading() as session:
        rows = list(session.scalars(select(OutboxMail).where(OutboxMail.kind == "alert").order_by(OutboxMail.id)))
    return [(row.recipient, str(message_from_bytes(row.message, policy=policy.default)["Subject"])) for row in rows]


def _set(ground: Runtime, model: type, **values: object) -> None:
    with ground.writing() as session:
        session.execute(update(model).values(**values))


STOPPED = {"status": CampaignStatus.PAUSED, "paused_reason": "login_refused", "paused_detail": "535 5.7.8 no"}


def test_a_campaign_that_stopped_is_told_once_and_again_after_it_went_on(ground, campaign_id):
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    alert_causes.look(ground)
    first = [("admin@example.org", "Kairan: 「Autumn」が停止しました"), ("writer@example.org", "Kairan: “Autumn” has stopped")]
    assert _told(ground) == first

    _set(ground, Campaign, status=CampaignStatus.SENDING, paused_reason=None)
    alert_causes.look(ground)
    assert _told(ground) == first

    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    assert _told(ground) == first * 2


def test_the_mail_says_why_and_leads_to_the_page(ground, campaign_id):
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    with ground.reading() as session:
        raw = session.scalars(select(OutboxMail.message).where(OutboxMail.recipient == "writer@example.org")).one()
    body = message_from_bytes(raw, policy=policy.default).get_content()

    assert "The mail server refused the login." in body
    assert "535 5.7.8 no" in body
    assert f"{BASE}/campaigns/{campaign_id}/progress" in body
    assert f"{BASE}/settings/alerts" in body


def test_a_pause_by_a_person_is_no_news(ground, campaign_id):
    _set(ground, Campaign, status=CampaignStatus.PAUSED, paused_reason=None)
    alert_causes.look(ground)
    assert _told(ground) == []


@pytest.mark.parametrize("reason", ["late", "missed"])
def test_a_missed_start_is_a_kind_of_its_own(ground, campaign_id, reason):
    _set(ground, Campaign, status=CampaignStatus.PAUSED, paused_reason=reason)
    alert_causes.look(ground)
    assert _told(ground)[1][1] == "Kairan: The start of “Autumn” was missed"


def test_the_end_and_uncertain_deliveries_are_told(ground, campaign_id):
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, due_at=None))
        session.execute(update(Delivery).where(Delivery.number == 2).values(state=State.UNCERTAIN))
    _set(ground, Campaign, status=CampaignStatus.SENT, ended_at=clock.now())
    alert_causes.look(ground)
    alert_causes.look(ground)
    titles = [subject for to, subject in _told(ground) if to == "writer@example.org"]
    assert titles == ["Kairan: “Autumn” has ended", "Kairan: “Autumn” has uncertain deliveries"]


def test_who_switched_a_kind_off_is_not_told(ground, campaign_id):
    with ground.writing() as session:
        writer = people.by_email(session, "writer@example.org")
        assert alerts.choices(session, writer.id, writer.role)["campaign.paused"]
        assert "disk.full" not in alerts.choices(session, writer.id, writer.role)
        alerts.choose(session, writer.id, writer.role, ["campaign.ended", "disk.full"])
        assert alerts.choices(session, writer.id, writer.role) == {
            "campaign.paused": False,
            "campaign.ended": True,
            "campaign.uncertain": False,
            "schedule.missed": False,
        }
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    assert [to for to, _ in _told(ground)] == ["admin@example.org"]


def test_a_mail_server_that_fails_and_is_well_again_is_told_to_administrators(ground):
    with ground.writing() as session:
        session.add(Provider(id=1, name="Service", host="h", port=25, security="none", updated_at=clock.now()))
        session.flush()
        providers.open_breaker(session, 1, "535 no", clock.now())
    alert_causes.look(ground)
    _set(ground, Provider, broken_until=clock.now() - timedelta(seconds=1))  # its time is over, and nothing has gone through it yet
    alert_causes.look(ground)
    assert _told(ground) == [("admin@example.org", "Kairan: メールサーバー「Service」に障害が起きています")]

    with ground.writing() as session:
        providers.close_breaker(session.get_one(Provider, 1))
    alert_causes.look(ground)
    assert _told(ground)[1:] == [("admin@example.org", "Kairan: メールサーバー「Service」が復旧しました")]


def test_a_mail_server_that_is_switched_off_is_not_called_well(ground):
    with ground.writing() as session:
        session.add(Provider(id=1, name="Service", host="h", port=25, security="none", updated_at=clock.now()))
        session.flush()
        providers.open_breaker(session, 1, "535 no", clock.now())
    alert_causes.look(ground)
    _set(ground, Provider, enabled=False)
    alert_causes.look(ground)
    assert len(_told(ground)) == 1


def test_of_many_machines_that_see_the_same_one_tells(ground):
    told = []
    together = threading.Barrier(4)

    def machine() -> None:
        together.wait()
        with ground.writing() as session:
            told.append(alerts.begin(session, "redis", "redis.away", {"host": "a"}, BASE, clock.now()))

    threads = [threading.Thread(target=machine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == [False, False, False, True]
    assert len(_told(ground)) == 1


# ---- what a host sees of itself


def test_a_disk_that_fills_is_told_until_it_has_room_again(ground):
    free = [100 << 20]
    lookout = Lookout(ground, free=lambda _folder: free[0])
    lookout()
    lookout()
    free[0] = (1 << 30) + 1  # a little more is not yet room
    lookout()
    assert len(_told(ground)) == 1
    free[0] = 2 << 30
    lookout()
    assert len(_told(ground)) == 2


def test_redis_away_is_told_after_a_minute_and_its_return_when_no_machine_misses_it(ground, monkeypatch):
    at, sent = [0.0], threading.Event()
    monkeypatch.setattr("mailer.ops.lookout._send_all", sent.set)
    here, elsewhere = (Lookout(ground, free=lambda _folder: 1 << 40, monotonic=lambda: at[0]) for _ in range(2))
    monkeypatch.setattr(here, "_answers", lambda: at[0] > 200)
    here()
    at[0] = 59.0
    here()
    assert _told(ground) == []

    at[0] = 60.0
    here()
    assert len(_told(ground)) == 1
    assert sent.wait(10)  # no bell rings now: what is due is sent by this process
    elsewhere()  # another machine reaches it: while this one does not, it is not over
    assert len(_told(ground)) == 1

    at[0] = 201.0
    with ground.writing() as session:
        session.execute(update(Alert).values(seen_at=clock.now() - timedelta(minutes=2)))
    here()
    elsewhere()
    assert len(_told(ground)) == 2


# ---- the webhook


class Receiver:
    """A web server on this machine; `statuses` are what it answers, the last for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_given: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join()


SECRET = standard_webhooks.new_secret()


@pytest.fixture
def hook(ground: Runtime, receiver: Receiver) -> int:
    with ground.writing() as session:
        row = AlertHook(url=receiver.url, secret=b"", kinds=["campaign.paused"], updated_at=clock.now())
        session.add(row)
        session.flush()
        row.secret = vault.of(ground.secrets).seal(SECRET.encode(), alert_posts.place_of_secret(row.id))
        return row.id


def _post(ground: Runtime) -> AlertPost:
    with ground.reading() as session:
        return session.scalars(select(AlertPost)).one()


def test_the_webhook_is_signed_as_standard_webhooks_says(ground, campaign_id, receiver, hook):
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    alert_posts.send_due()

    headers, body = receiver.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = hmac.new(b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{b64encode(right).decode()}"
    said = json.loads(body)
    assert (said["type"], said["data"]["campaign"], said["data"]["over"]) == ("campaign.paused", campaign_id, False)
    assert said["data"]["link"] == f"{BASE}/campaigns/{campaign_id}/progress"
    assert _post(ground).state == PostState.SENT


def test_a_receiver_that_fails_is_asked_again_under_the_same_id(ground, campaign_id, receiver, hook):
    receiver.statuses = [500, 302, 200]
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    for _ in range(3):
        alert_posts.send_due()
        with ground.writing() as session:
            session.execute(update(AlertPost).values(due_at=clock.now()))

    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert (_post(ground).state, _post(ground).tries) == (PostState.SENT, 2)


def test_a_receiver_that_is_gone_is_asked_no_more(ground, campaign_id, receiver, hook):
    receiver.statuses = [410]
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    alert_posts.send_due()
    with ground.reading() as session:
        assert not session.get_one(AlertHook, hook).enabled
    assert _post(ground).state == PostState.FAILED


def test_after_the_last_try_a_post_has_failed(ground, campaign_id, receiver, hook):
    receiver.statuses = [500]
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    _set(ground, AlertPost, tries=len(alert_posts.WAITS))
    alert_posts.send_due()
    assert (_post(ground).state, _post(ground).reply) == (PostState.FAILED, "500")


def test_no_address_of_our_own_network_is_posted_to_unless_it_is_allowed(ground, campaign_id, receiver, hook):
    object.__setattr__(ground.settings, "private_targets", "")
    _set(ground, Campaign, **STOPPED)
    alert_causes.look(ground)
    alert_posts.send_due()
    assert receiver.got == []
    assert "not on the public internet" in _post(ground).reply


def test_a_quiet_installation_costs_no_write_transaction(ground, campaign_id):
    alert_causes.look(ground)
    with ground.reading() as session:
        assert session.scalar(select(func.count(Alert.id))) == 0

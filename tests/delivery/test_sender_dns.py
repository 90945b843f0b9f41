"""What a real name server says is told as it is: found, not there yet, something else, or nobody answered."""

import shutil
from datetime import timedelta

import dns.resolver
import pytest
from sqlalchemy import select

from kairan import clock, installation, queues, secrets
from kairan.database import Database
from kairan.models.audit import AuditRow
from kairan.models.sending import KeyState
from mailer.delivery import dns_jobs, sender_dns, signing
from mailer.delivery.dkim import record
from mailer.delivery.sender_dns import DIFFERS, FOUND, MISSING, UNKNOWN, Record
from mailer.ops import doctor
from tests.support import dns_server
from tests.support import ground as make
from tests.support.ground import NOW

KEYS = secrets.from_root(make.SECRET)


@pytest.fixture(scope="module")
def _server():
    with dns_server.running() as server:
        yield server


@pytest.fixture
def zone(_server):
    for held in (_server.table, _server.silent, _server.refusing, _server.asked):
        held.clear()
    return _server


@pytest.fixture
def session(_migrated_sqlite, tmp_path):
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    database = Database(f"sqlite:///{tmp_path / 'kairan.sqlite'}")
    with database.writing() as opened:
        yield opened
    database.dispose()


@pytest.fixture
def row(session):
    made = signing.add_domain(session, KEYS, "example.org", NOW)
    made.link_host, made.return_path = "links.example.org", "bounce@return.example.org"
    return made


def _wanted(session, row):
    return sender_dns.records(row, signing.keys_of(session, row.id), NOW, "mail.kairan.example")


def _states(session, row, zone):
    return [(finding.purpose, finding.state) for finding in sender_dns.look(_wanted(session, row), zone.resolver())]


def _publish(session, row, zone):
    for key in signing.keys_of(session, row.id):
        zone.put(f"{key.selector}._domainkey.example.org", "TXT", record(key.algorithm, key.public_key))
    zone.put("return.example.org", "TXT", "v=spf1 mx -all")
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=quarantine")
    zone.put("return.example.org", "MX", "10 mail.kairan.example.")
    zone.put("links.example.org", "A", "192.0.2.1")


def _one(zone, purpose, name, value="", kind="TXT"):
    return sender_dns.look([Record(purpose, name, kind, value)], zone.resolver())[0]


def test_everything_published_is_found(session, row, zone):
    _publish(session, row, zone)

    purposes = ["dkim", "dkim", "spf", "dmarc", "return_path", "link_host"]
    assert _states(session, row, zone) == [(purpose, FOUND) for purpose in purposes]


def test_nothing_published_is_not_found_yet(session, row, zone):
    assert {state for _, state in _states(session, row, zone)} == {MISSING}


def test_an_rsa_record_is_put_together_from_its_strings(session, row, zone):
    _publish(session, row, zone)
    rsa = signing.keys_of(session, row.id)[0]

    assert len(record(rsa.algorithm, rsa.public_key)) > 255
    assert _states(session, row, zone)[0] == ("dkim", FOUND)


@pytest.mark.parametrize(
    ("published", "state"),
    [
        (["v=DKIM1; k=ed25519; p=AAAA"], FOUND),
        (["k=ed25519;p=AA AA; t=s"], FOUND),
        (["v=DKIM1; k=ed25519; p=AAAB"], DIFFERS),
        (["v=DKIM1; p=AAAA"], DIFFERS),
        (["v=DKIM1; k=ed25519; p="], DIFFERS),
        (["v=DKIM1; k=ed25519; p=AAAA", "v=DKIM1; k=ed25519; p=AAAB"], DIFFERS),
    ],
)
def test_a_dkim_record_must_say_what_ours_says_and_be_alone(zone, published, state):
    zone.put("s._domainkey.example.org", "TXT", *published)

    finding = _one(zone, "dkim", "s._domainkey.example.org", "v=DKIM1; k=ed25519; p=AAAA")

    assert finding.state == state
    assert list(finding.seen) == ([] if state == FOUND else sorted(published))


@pytest.mark.parametrize(
    ("published", "state"),
    [
        (["v=spf1 -all"], FOUND),
        (["another", "V=SPF1 mx ~all"], FOUND),
        (["v=spf1 -all", "v=spf1 mx -all"], DIFFERS),
        (["v=spf10 -all"], MISSING),
        (["spf"], MISSING),
    ],
)
def test_one_spf_record_is_one(zone, published, state):
    zone.put("example.org", "TXT", *published)

    assert _one(zone, "spf", "example.org").state == state


def test_a_dmarc_policy_of_the_domain_above_holds_below(zone):
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=reject; sp=none")

    assert _one(zone, "dmarc", "_dmarc.news.example.org").state == FOUND


def test_a_dmarc_record_without_a_policy_differs(zone):
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; rua=mailto:a@example.org")

    assert _one(zone, "dmarc", "_dmarc.example.org").state == DIFFERS


def test_bounces_need_somebody_who_takes_them(zone):
    zone.put("a.example.org", "A", "192.0.2.1")
    zone.put("null.example.org", "MX", "0 .")

    assert _one(zone, "return_path", "a.example.org").state == FOUND
    assert _one(zone, "return_path", "null.example.org").state == DIFFERS
    assert _one(zone, "return_path", "none.example.org").state == MISSING


def test_a_link_host_may_have_an_ipv6_address_alone(zone):
    zone.put("links.example.org", "AAAA", "2001:db8::1")

    assert _one(zone, "link_host", "links.example.org").state == FOUND


def test_a_server_in_trouble_is_no_missing_record(zone, monkeypatch):
    monkeypatch.setattr(sender_dns, "TIMEOUT_S", 0.3)
    zone.refusing.add("example.org")
    zone.silent.add("silent.example.org")

    assert _one(zone, "spf", "example.org").state == UNKNOWN
    assert _one(zone, "spf", "silent.example.org").state == UNKNOWN


def test_new_keys_sign_when_their_records_stand(session, row, zone):
    _publish(session, row, zone)
    rsa, ed25519 = signing.keys_of(session, row.id)
    zone.remove(f"{ed25519.selector}._domainkey.example.org", "TXT")

    findings = sender_dns.look(_wanted(session, row), zone.resolver())
    assert sender_dns.keep(session, row.id, findings, NOW) == [rsa]

    assert (rsa.state, ed25519.state) == (KeyState.ACTIVE, KeyState.NEW)
    assert row.checked_at == NOW
    assert list(sender_dns.kept(row)) == findings
    assert sender_dns.keep(session, 999, findings, NOW) == []


def test_records_no_longer_needed_are_not_asked_for(session, row):
    before = len(_wanted(session, row))
    for key in signing.keys_of(session, row.id):
        signing.activate(session, key, NOW - timedelta(days=9))
        signing.retire(session, key, NOW - timedelta(days=8))
    row.link_host = row.return_path = None

    wanted = _wanted(session, row)

    assert [(one.purpose, one.name) for one in wanted] == [("spf", "example.org"), ("dmarc", "_dmarc.example.org")]
    assert before == 6


def test_zone_lines_can_be_pasted(session, row):
    lines = sender_dns.zone_lines(_wanted(session, row)).splitlines()

    assert lines[0].startswith("k20261124r")
    assert '._domainkey.example.org. IN TXT "v=DKIM1; k=rsa; p=' in lines[0]
    assert all(len(part) <= 255 for part in lines[0].split('"')[1::2])
    assert "links.example.org. IN CNAME mail.kairan.example." in lines


# ---- without being asked


@pytest.fixture
def ground(_migrated_sqlite, tmp_path, valkey):
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    with make.running(make.make_settings(f"sqlite:///{tmp_path / 'kairan.sqlite'}", tmp_path, redis=valkey)) as running:
        yield running


def test_a_key_that_waits_is_looked_for_often_and_settled_domains_once_a_day(session, row):
    assert dns_jobs.due(session, NOW + timedelta(minutes=14)) == []
    assert dns_jobs.due(session, NOW + timedelta(minutes=15)) == [row.id]

    row.checked_at = NOW
    for key in signing.keys_of(session, row.id):
        signing.activate(session, key, NOW)

    assert dns_jobs.due(session, NOW + timedelta(hours=23)) == []
    assert dns_jobs.due(session, NOW + timedelta(hours=24)) == [row.id]


def test_a_key_nobody_publishes_is_looked_for_once_a_day(session, row):
    row.checked_at = NOW + timedelta(days=15)

    assert dns_jobs.due(session, NOW + timedelta(days=15, hours=1)) == []


def test_a_worker_looks_and_the_published_key_signs(ground, zone, monkeypatch):
    monkeypatch.setattr(dns.resolver, "default_resolver", zone.resolver())
    with ground.writing() as session:
        made = signing.add_domain(session, ground.secrets, "example.org", clock.now() - timedelta(hours=1))
        _publish(session, made, zone)
        domain_id = made.id

    dns_jobs.ring_due(ground)
    assert ground.queues.waiting(queues.WORK) == 1
    dns_jobs.look(domain_id)

    with ground.reading() as session:
        assert signing.signer_for(session, ground.secrets, "a@example.org", clock.now()) is not None
        assert dns_jobs.due(session, clock.now()) == []
        assert [note.actor for note in session.scalars(select(AuditRow))] == ["system", "system"]
    asked = len(zone.asked)
    dns_jobs.look(domain_id)
    assert len(zone.asked) == asked


def test_doctor_asks_the_same(ground, zone, monkeypatch):
    monkeypatch.setattr(dns.resolver, "default_resolver", zone.resolver())
    with ground.writing() as session:
        installation.put(session, "sender", {"name": "", "email": "news@another.example"}, now=clock.now())
        _publish(session, signing.add_domain(session, ground.secrets, "example.org", clock.now()), zone)
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=sometimes")

    checks = {check.what: check for check in doctor.dns_checks(ground)}

    assert [what for what, check in checks.items() if check.good] == ["DKIM of example.org"]
    assert "v=DMARC1; p=sometimes" in checks["DMARC of example.org"].says
    assert "another.example is not published" in checks["SPF of another.example"].says

"""Keys come, take over and go without a mail that cannot be verified; and what leaves the house carries the domain's own names."""

from datetime import timedelta

import dkim
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from kairan import outbox, secrets
from kairan.addresses import AddressError
from kairan.database import Database
from kairan.models.campaigns import Campaign, Program
from kairan.models.sending import DkimKey, KeyState, SendingDomain
from kairan.vault import SealBroken
from mailer.campaigns import compilation, lifecycle
from mailer.campaigns.revisions import Content
from mailer.delivery import programs, signing
from mailer.delivery.dkim import ALGORITHMS, record
from tests.support import ground as make
from tests.support.ground import NOW

KEYS = secrets.from_root(make.SECRET)
LATER = NOW + timedelta(hours=1)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def session(database_url):
    database = Database(database_url)
    with database.writing() as opened:
        yield opened
    database.dispose()


@pytest.fixture
def domain(session) -> SendingDomain:
    return signing.add_domain(session, KEYS, "Example.ORG", NOW)


def _activate_all(session, domain, now=NOW):
    return signing.activate_found(session, domain.id, [key.selector for key in signing.keys_of(session, domain.id)], now)


def _dns(session):
    rows = session.execute(select(DkimKey, SendingDomain).join(SendingDomain, SendingDomain.id == DkimKey.domain_id)).all()
    return {f"{key.selector}._domainkey.{row.domain}.".encode(): record(key.algorithm, key.public_key).encode() for key, row in rows}


def _verdicts(session, message):
    known, found = _dns(session), message.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [dkim.DKIM(message).verify(at, dnsfunc=lambda name, timeout=5: known.get(name)) for at in range(found)]


MAIL = b"From: News <news@example.org>\r\nTo: a@b.example\r\nSubject: Hello\r\n\r\nHello\r\n"


def test_a_new_domain_has_a_key_of_each_kind_that_signs_nothing_yet(session, domain):
    keys = signing.keys_of(session, domain.id)

    assert domain.domain == "example.org"
    assert [key.algorithm for key in keys] == list(ALGORITHMS)
    assert {key.state for key in keys} == {KeyState.NEW}
    assert signing.signer_for(session, KEYS, "news@example.org", NOW) is None


@pytest.mark.parametrize("wrong", ["", "localhost", "exa mple.org", "a@b@c", "-.org"])
def test_what_is_no_domain_is_refused(session, wrong):
    with pytest.raises(AddressError):
        signing.add_domain(session, KEYS, wrong, NOW)


def test_a_domain_is_there_once(session, domain):
    with pytest.raises(IntegrityError):
        signing.add_domain(session, KEYS, "example.org", NOW)


def test_a_key_signs_once_the_dns_shows_it(session, domain):
    rsa, ed25519 = signing.keys_of(session, domain.id)
    assert signing.activate_found(session, domain.id, [rsa.selector], NOW) == [rsa]

    signed = signing.signer_for(session, KEYS, "news@example.org", NOW).sign(MAIL)

    assert _verdicts(session, signed) == [True]
    assert ed25519.selector.encode() not in signed


def test_addresses_below_a_domain_are_signed_by_it_unless_they_have_their_own(session, domain):
    _activate_all(session, domain)
    own = signing.add_domain(session, KEYS, "shop.example.org", NOW)
    _activate_all(session, own)

    def signed_by(address):
        signer = signing.signer_for(session, KEYS, address, NOW)
        return signer and signer.sign(MAIL).partition(b" d=")[2].partition(b";")[0]

    assert signed_by("a@example.org") == b"example.org"
    assert signed_by("a@News.Example.org") == b"example.org"
    assert signed_by("a@shop.example.org") == b"shop.example.org"
    assert signed_by("a@deep.shop.example.org") == b"shop.example.org"
    assert signed_by("a@another-example.org") is None
    assert signed_by("a@org") is None
    assert signed_by("") is None


def test_a_domain_in_its_own_script_is_the_one_of_its_a_labels(session):
    row = signing.add_domain(session, KEYS, "例え.テスト", NOW)

    assert row.domain == "xn--r8jz45g.xn--zckzah"
    assert signing.domain_of(session, "a@例え.テスト") is row
    assert signing.domain_of(session, "a@xn--r8jz45g.xn--zckzah") is row


def test_a_private_key_lies_sealed_at_its_own_row(session, domain):
    rsa, _ed25519 = signing.keys_of(session, domain.id)
    _activate_all(session, domain)
    assert b"PRIVATE" not in rsa.private_key
    other = signing.begin_rotation(session, KEYS, domain.id, LATER)[0]
    other.private_key, other.state, other.active_from = rsa.private_key, KeyState.ACTIVE, LATER

    with pytest.raises(SealBroken):
        signing.signer_for(session, KEYS, "a@example.org", LATER)


def test_a_rotation_signs_with_the_old_keys_until_the_dns_shows_the_new(session, domain):
    _activate_all(session, domain)
    old = signing.keys_of(session, domain.id)
    new = signing.begin_rotation(session, KEYS, domain.id, LATER)

    assert {key.selector for key in old}.isdisjoint(key.selector for key in new)
    assert signing.active_keys(session, domain.id, LATER) == old
    assert signing.to_publish(signing.keys_of(session, domain.id), LATER) == old + new
    with pytest.raises(signing.RotationRunning):
        signing.begin_rotation(session, KEYS, domain.id, LATER)


def test_the_old_record_stays_for_mails_on_their_way_and_then_goes(session, domain):
    _activate_all(session, domain)
    old = signing.keys_of(session, domain.id)
    on_its_way = signing.signer_for(session, KEYS, "a@example.org", NOW).sign(MAIL)
    new = signing.begin_rotation(session, KEYS, domain.id, LATER)
    _activate_all(session, domain, LATER)

    assert signing.active_keys(session, domain.id, LATER) == new
    assert [key.private_key for key in old] == [None, None]
    assert signing.to_publish(signing.keys_of(session, domain.id), LATER + timedelta(days=6)) == old + new
    assert _verdicts(session, on_its_way) == [True, True]
    assert signing.to_publish(signing.keys_of(session, domain.id), LATER + timedelta(days=8)) == new


def test_a_person_may_insist_and_may_retire(session, domain):
    rsa, ed25519 = signing.keys_of(session, domain.id)
    signing.activate(session, rsa, NOW)
    assert signing.active_keys(session, domain.id, NOW) == [rsa]

    signing.retire(session, rsa, LATER)
    signing.activate(session, rsa, LATER)
    signing.retire(session, ed25519, LATER)
    assert signing.to_publish([rsa, ed25519], LATER) == [rsa]  # the other never signed anything

    assert signing.active_keys(session, domain.id, LATER) == []
    assert signing.signer_for(session, KEYS, "a@example.org", LATER) is None


def test_a_key_does_not_sign_before_its_time(session, domain):
    _activate_all(session, domain, LATER)

    assert signing.signer_for(session, KEYS, "a@example.org", NOW) is None


def test_selectors_do_not_come_back_when_a_domain_does(session, domain):
    before = {key.selector for key in signing.keys_of(session, domain.id)}
    session.delete(domain)
    session.flush()

    again = signing.add_domain(session, KEYS, "example.org", NOW)

    assert before.isdisjoint(key.selector for key in signing.keys_of(session, again.id))


# ---- what leaves the house


def _campaign(session, from_email="news@example.org"):
    make.make_organisation(session)
    into = make.make_list(session)
    make.make_members(session, 1, into)
    content = Content(
        subject="Hello", from_name="News", from_email=from_email,
        content='<p><a href="https://shop.example/">Shop</a><img src="https://mail.example/m/a.png" alt="A"></p>'
        '<p><a href="{{ view_url }}">View</a></p>',
    )  # fmt: skip
    return lifecycle.create(session, "Link host", lifecycle.Reach(lists=(into.id,)), content, now=NOW)


def test_links_pictures_return_path_and_from_align(session, domain):
    domain.link_host, domain.return_path = "links.example.org", "bounce@return.example.org"
    campaign = _campaign(session)
    lifecycle.schedule(session, campaign.id, NOW, now=NOW)
    compilation.compile_campaign(session, session.get_one(Campaign, campaign.id), "https://mail.example")

    stored = session.execute(select(Program.body).where(Program.campaign_id == campaign.id)).scalars()
    bodies = "".join(stored).replace("=\\r\\n", "")
    loaded = programs.load(session, campaign.id, KEYS.tokens, "en")

    assert "https://mail.example/" not in bodies
    for place in ("/c/", "/o/", "/u/", "/p/", "/v/", "/m/a.png"):
        assert f"https://links.example.org{place}" in bodies
    assert loaded.sender == b"bounce@return.example.org"


def test_without_a_row_the_installations_own_names_hold(session):
    assert signing.link_base(session, "a@example.org", "https://mail.example") == "https://mail.example"
    assert signing.envelope_sender(session, "a@example.org") == "a@example.org"


# ---- system mail


def test_a_system_mail_is_signed_as_its_receiver_reads_it(session, domain):
    _activate_all(session, domain)
    message = outbox.compose(
        sender_name="News",
        sender="news@example.org",
        recipient="a@b.example",
        subject="Hello",
        text=".a dot\n..two\n",
        message_id="1@x",
        now=NOW,
    )
    assert b"\r\n..a dot" in message

    stored = signing.signed_stored(session, KEYS, message, NOW)

    assert _verdicts(session, stored.replace(b"\r\n..", b"\r\n.")) == [True, True]
    assert stored.endswith(message)


def test_a_system_mail_of_another_domain_goes_unsigned(session, domain):
    _activate_all(session, domain)
    message = MAIL.replace(b"example.org", b"example.net")

    assert signing.signed_stored(session, KEYS, message, NOW) == message

"""What arrives over SMTP verifies: campaign mails of both forms, test sends, and mails of the system itself."""

import shutil
from datetime import timedelta

import dkim
import pytest
from sqlalchemy import update

from kairan import clock, outbox
from kairan.models.audience import Format, Member
from kairan.models.sending import SendingDomain
from mailer.campaigns import test_send
from mailer.delivery import jobs, signing, system_mail
from mailer.delivery.dkim import record
from tests.support import ground as make

NAMES = {"from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post", "list-id", "mime-version"}


@pytest.fixture
def ground(_migrated_sqlite, tmp_path, valkey, smtp_sink):
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    given = make.make_settings(f"sqlite:///{tmp_path / 'kairan.sqlite'}", tmp_path, redis=valkey, smtp=smtp_sink.url)
    with make.running(given) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


@pytest.fixture
def published(ground):
    """The DNS of books.example, whose keys sign, as a verifier's question."""
    with ground.writing() as session:
        row = signing.add_domain(session, ground.secrets, "books.example", clock.now() - timedelta(hours=1))
        row.link_host, row.return_path = "links.books.example", "bounce@return.books.example"
        keys = signing.keys_of(session, row.id)
        signing.activate_found(session, row.id, [key.selector for key in keys], clock.now() - timedelta(minutes=1))
        texts = {f"{key.selector}._domainkey.books.example.".encode(): record(key.algorithm, key.public_key).encode() for key in keys}
    return lambda name, timeout=5: texts.get(name)


def _verdicts(mail: bytes, published) -> list[bool]:
    count = mail.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [dkim.DKIM(mail).verify(at, dnsfunc=published) for at in range(count)]


def _signed_names(mail: bytes) -> set[str]:
    unfolded = mail.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"")
    return set(unfolded.partition(b"h=")[2].partition(b";")[0].decode().split(":"))


def _campaign(ground, count=4) -> int:
    now = clock.now()
    with ground.writing() as session:
        into = make.make_list(session, now=now)
        make.make_members(session, count, into, now=now)
        session.execute(update(Member).where(Member.id % 2 == 0).values(format=Format.TEXT))
        return make.make_campaign(session, into, now=now).id


def test_every_mail_of_a_campaign_arrives_with_two_good_signatures(ground, published, smtp_sink):
    campaign_id = _campaign(ground)
    make.start_sending(ground, campaign_id, clock.now())

    jobs.run_lane(campaign_id)

    mails = smtp_sink.received
    assert len(mails) == 4
    assert {b"multipart/alternative" in mail.raw for mail in mails} == {True, False}
    for mail in mails:
        assert _verdicts(mail.raw, published) == [True, True]
        assert _signed_names(mail.raw) >= NAMES
        assert b"d=books.example;" in mail.raw
        assert mail.mail_from == "bounce@return.books.example"
        assert b"List-Unsubscribe: <https://links.books.example/u/" in mail.raw.replace(b"\r\n ", b" ")


def test_a_test_send_and_a_system_mail_verify_too(ground, published, smtp_sink):
    campaign_id = _campaign(ground, 1)
    now = clock.now()
    text = "\n".join((".", "..two", "From here", "", ""))
    message = outbox.compose(
        sender_name="Books",
        sender="news@books.example",
        recipient="a@b.example",
        subject="Hi",
        text=text,
        message_id="1@books.example",
        now=now,
    )
    with ground.writing() as session:
        test_send.write(session, ground, campaign_id, ["me@books.example"], now=now)
        outbox.put(session, kind="password", sender="news@books.example", recipient="a@b.example", message=message, now=now)

    system_mail.send_due()

    assert [_verdicts(mail.raw, published) for mail in smtp_sink.received] == [[True, True]] * 2
    assert b"\r\n..two" in smtp_sink.to("a@b.example")[0].raw


def test_without_a_domain_mails_go_out_unsigned(ground, smtp_sink):
    campaign_id = _campaign(ground, 1)
    make.start_sending(ground, campaign_id, clock.now())

    jobs.run_lane(campaign_id)

    assert b"DKIM-Signature" not in smtp_sink.received[0].raw
    with ground.reading() as session:
        assert session.query(SendingDomain).count() == 0

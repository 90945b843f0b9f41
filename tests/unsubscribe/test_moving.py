"""A member's move to another address: proved by a mail to it, told to nobody else, and with their noes."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from kairan import installation
from kairan.addresses import normal
from kairan.models.audience import AddressChange, Member
from kairan.models.consent import ConsentAct, ConsentRow, ConsentSource
from kairan.models.every import metadata
from kairan.models.outbox import OutboxMail
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.audience import erasure, members
from tests.support.ground import NOW
from tests.unsubscribe.conftest import Going
from unsubscribe import consent, moving, suppression

NEW = "Hana.New@elsewhere.example"


@pytest.fixture(autouse=True)
def _sender(going: Going) -> None:
    with going.ground.writing() as session:
        installation.put(session, "sender", {"name": "Kairan Books", "email": "news@books.example"}, now=NOW)


def _ask(client: FlaskClient, going: Going, email: str = NEW, member_id: int = 2) -> str:
    return client.post(f"/p/{going.token(member_id)}", data={"address": email}).text


def _mails(going: Going) -> list[tuple[str, str]]:
    """(recipient, text) of each mail on its way."""
    with going.ground.reading() as session:
        rows = list(session.execute(select(OutboxMail).order_by(OutboxMail.id)).scalars())
    return [(row.recipient, message_from_bytes(row.message, policy=policy.default).get_content()) for row in rows]


def _link(going: Going) -> str:
    """The path in the newest mail."""
    found = re.search(r"/confirm/[\w-]{36}", _mails(going)[-1][1])
    assert found is not None
    return found[0]


def _member(going: Going, member_id: int = 2) -> Member:
    with going.ground.reading() as session:
        return session.get_one(Member, member_id)


def _key(going: Going, email: str) -> bytes:
    return going.ground.secrets.address_key(normal(email))


def test_a_member_moves_by_a_mail_to_the_new_address_and_one_button(client: FlaskClient, going: Going):
    _ask(client, going)
    shown = client.get(_link(going))
    before = _member(going).email
    done = client.post(_link(going))

    assert "Receive our mail at this address?" in shown.text
    assert before == "m2@members.example"
    assert "Your new address holds" in done.text
    assert _member(going).email == NEW
    assert going.gated(2) == [2]
    assert [recipient for recipient, _text in _mails(going)] == [NEW, "m2@members.example"]
    with going.ground.reading() as session:
        (row,) = session.execute(select(ConsentRow)).scalars()
        (history,) = moving.earlier(session, 2)
    assert (row.act, row.source, row.address_key) == (ConsentAct.ADDRESS, ConsentSource.PAGE, _key(going, NEW))
    assert (history.before, history.email) == ("m2@members.example", NEW)


def test_the_mail_says_who_asks_and_nothing_about_the_member(client: FlaskClient, going: Going):
    _ask(client, going)

    ((recipient, words),) = _mails(going)
    assert recipient == NEW
    assert "Kairan Books" in words
    assert "within 24 hours" in words
    assert "m2@" not in words
    assert "Name2" not in words


def test_the_old_address_is_told_without_the_new_one(client: FlaskClient, going: Going):
    _ask(client, going)
    client.post(_link(going))

    words = _mails(going)[-1][1]
    assert "H•••@elsewhere.example" in words
    assert NEW not in words
    assert "/confirm/" not in words


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_scanner_that_fetches_the_link_confirms_nothing(client: FlaskClient, going: Going, method: str):
    _ask(client, going)
    before = going.counts()

    answer = client.open(_link(going), method=method)

    assert answer.status_code == 200
    assert going.counts() == before
    assert _member(going).email == "m2@members.example"


def test_links_in_mails_to_the_old_address_go_on_working(client: FlaskClient, going: Going):
    _ask(client, going)
    client.post(_link(going))

    assert client.get(f"/p/{going.token(2)}").status_code == 200
    client.post(f"/u/{going.token(2)}", data={"List-Unsubscribe": "One-Click"})
    assert going.gated(2) == []


@pytest.mark.parametrize(
    "not_free",
    [
        "m1@members.example",
        "m2@members.example",
        "M1@Members.Example",
        "unsubscribed@x.example",
        "complaint@x.example",
        "bounced@x.example",
        "staff@x.example",
        "erased@x.example",
    ],
)
def test_an_address_that_is_not_free_gets_no_mail_and_the_answer_does_not_tell(client: FlaskClient, going: Going, not_free: str):
    with going.ground.writing() as session:
        for reason in SuppressionReason:
            suppression.suppress_address(session, _key(going, f"{reason}@x.example"), reason, now=NOW)
    free = _ask(client, going)

    answer = _ask(client, going, not_free)

    assert answer == free
    assert [recipient for recipient, _text in _mails(going)] == [NEW]
    with going.ground.reading() as session:
        assert session.execute(select(AddressChange.email).order_by(AddressChange.id)).scalars().all() == [NEW, ""]


def test_a_link_works_once_for_a_day_and_only_while_its_address_is_free(client: FlaskClient, going: Going):
    _ask(client, going)
    link = _link(going)
    with going.ground.writing() as session:
        change = session.execute(select(AddressChange)).scalar_one()
        change.asked_at -= moving.LINK_FOR + timedelta(minutes=1)

    late = client.post(link)
    with going.ground.writing() as session:
        session.execute(select(AddressChange)).scalar_one().asked_at += timedelta(minutes=2)
        suppression.suppress_address(session, _key(going, NEW), SuppressionReason.STAFF, now=NOW)
    refused = client.post(link)
    with going.ground.writing() as session:
        suppression.release(session, _key(going, NEW), now=NOW)
    first, again = client.post(link), client.post(link)

    assert (late.status_code, refused.status_code, first.status_code, again.status_code) == (410, 410, 200, 200)
    assert late.text == refused.text
    assert first.text == again.text
    with going.ground.reading() as session:
        assert session.execute(select(func.count()).select_from(ConsentRow)).scalar_one() == 1


def test_a_link_is_over_once_the_member_has_moved_otherwise(client: FlaskClient, going: Going):
    _ask(client, going)
    first = _link(going)
    _ask(client, going, "third@elsewhere.example")
    client.post(_link(going))

    answer = client.post(first)

    assert answer.status_code == 410
    assert _member(going).email == "third@elsewhere.example"


def test_noes_go_along_and_what_is_suppressed_stays_with_the_old_address(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        suppression.suppress(session, 2, SuppressionReason.BOUNCED, now=NOW)
        consent.leave_all(session, 1, source=ConsentSource.PAGE, now=NOW)
    _ask(client, going)
    client.post(_link(going))
    _ask(client, going, "first@elsewhere.example", member_id=1)
    client.post(_link(going))

    assert going.gated(2) == [2]
    assert going.gated(1) == []
    with going.ground.reading() as session:
        assert suppression.reason_of(session, _key(going, "m2@members.example")) == SuppressionReason.BOUNCED
        assert suppression.reason_of(session, _key(going, "m1@members.example")) == SuppressionReason.UNSUBSCRIBED
    # Nobody reads a mailbox that bounces.
    assert "m2@members.example" not in [recipient for recipient, _text in _mails(going)]


@pytest.mark.parametrize("wrong", ["", "x", "a@b", "a@b.example\r\nBcc: x@y.example", "あ@x.example", "a" * 300 + "@x.example"])
def test_what_is_no_address_is_said_and_kept_as_it_was_typed(client: FlaskClient, going: Going, wrong: str):
    answer = client.post(f"/p/{going.token(2)}", data={"address": wrong})

    assert answer.status_code == 422
    assert "It looks like name@example.org" in answer.text
    assert _mails(going) == []


def test_nobody_can_flood_a_mailbox_with_links(client: FlaskClient, going: Going):
    for _ in range(4):
        _ask(client, going)
    assert len(_mails(going)) == moving.MAILS_MAX
    _ask(client, going)

    answer = client.post(f"/p/{going.token(2)}", data={"address": NEW})

    assert answer.status_code == 429
    assert "try again tomorrow" in answer.text
    assert f'value="{NEW}"' in answer.text
    assert len(_mails(going)) == moving.MAILS_MAX


def test_without_a_sender_the_form_is_not_offered(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        installation.put(session, "sender", {"name": "", "email": ""}, now=NOW)

    assert 'name="address"' not in client.get(f"/p/{going.token(2)}").text
    assert client.post(f"/p/{going.token(2)}", data={"address": NEW}).status_code == 404


def test_a_move_by_staff_leaves_the_same_history(going: Going):
    with going.ground.writing() as session:
        members.update(session, going.ground.secrets, 2, {"email": NEW}, now=NOW, source=ConsentSource.STAFF)
        members.update(session, going.ground.secrets, 2, {"email": NEW.lower()}, now=NOW)

    with going.ground.reading() as session:
        assert [(change.before, change.email) for change in moving.earlier(session, 2)] == [("m2@members.example", NEW)]
        assert session.execute(select(ConsentRow.act, ConsentRow.source)).all() == [("address", "staff")]


def test_an_erasure_takes_earlier_and_wanted_addresses_along(client: FlaskClient, going: Going):
    _ask(client, going)
    client.post(_link(going))
    _ask(client, going, "wanted@elsewhere.example")

    with going.ground.writing() as session:
        erasure.erase(session, 2, now=NOW)

    with going.ground.reading() as session:
        for name in metadata.tables:
            for row in session.execute(text(f'SELECT * FROM "{name}"')):
                told = str(tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row))
                assert not re.search(r"m2@members|elsewhere\.example", told), name


def test_requests_that_nobody_confirmed_are_forgotten_after_a_week(client: FlaskClient, going: Going):
    _ask(client, going)
    with going.ground.writing() as session:
        asked = session.execute(select(AddressChange.asked_at)).scalar_one()
        moving.forget_unconfirmed(session, asked + timedelta(days=6))
        assert session.execute(select(func.count()).select_from(AddressChange)).scalar_one() == 1
        moving.forget_unconfirmed(session, asked + timedelta(days=8))

    assert client.get(_link(going)).status_code == 404
    with going.ground.reading() as session:
        assert session.execute(select(Suppression)).all() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_kind_of_wrong_link_gets_the_same_404(client: FlaskClient, going: Going):
    tokens = going.ground.secrets.tokens
    wrong = [tokens.act(2, 1), tokens.trace(1, 1), tokens.proof(1, 999), tokens.proof(2, 1), "x", "あ", tokens.proof(1, 1) + "A"]

    answers = {
        (answer.status_code, answer.data)
        for token in wrong
        for answer in (client.get(f"/confirm/{token}"), client.post(f"/confirm/{token}"))
    }

    assert len(answers) == 1
    assert next(iter(answers))[0] == 404

"""After a no: the reason is asked then and never before, an hour's undo, and fewer mails or one topic less instead."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from kairan.models.audience import Member, Subscription
from kairan.models.consent import ConsentRow, ConsentSource, LeaveReason
from kairan.models.suppression import SuppressionReason
from mailer.audience import erasure, timeline
from tests.support.ground import NOW
from tests.unsubscribe.conftest import Going
from unsubscribe import consent, leaving, suppression

WHY = {"why": "yes", "reason": "too_many", "words": "Three a day"}


def _leave(client: FlaskClient, going: Going, member_id: int = 2) -> str:
    """The path of the member's page, after the no."""
    path = f"/u/{going.token(member_id)}"
    client.post(path, data={"confirm": "yes"})
    return path


def _long_ago(going: Going, ago: timedelta) -> None:
    with going.ground.writing() as session:
        row = session.execute(select(ConsentRow).order_by(ConsentRow.id.desc()).limit(1)).scalar_one()
        session.execute(update(Subscription).where(Subscription.ended_at == row.recorded_at).values(ended_at=row.recorded_at - ago))
        session.execute(update(ConsentRow).where(ConsentRow.id == row.id).values(recorded_at=row.recorded_at - ago))


def _reasons(going: Going) -> list[tuple[str, str, int | None]]:
    with going.ground.reading() as session:
        rows = session.execute(select(LeaveReason).order_by(LeaveReason.consent_id)).scalars()
        return [(row.reason, row.words, row.campaign_id) for row in rows]


def test_the_reason_is_asked_after_the_no_and_never_before(client: FlaskClient, going: Going):
    before = client.get(f"/u/{going.token(2)}").text
    after = client.post(f"/u/{going.token(2)}", data={"confirm": "yes"}).text

    assert "why" not in before
    assert 'name="reason"' in after
    assert going.gated(2) == []


def test_a_reason_is_kept_beside_its_no_and_thanked_for(client: FlaskClient, going: Going):
    path = _leave(client, going)

    answer = client.post(path, data=WHY)

    assert "We have noted why you left" in answer.text
    assert 'name="reason"' not in client.get(path).text
    assert _reasons(going) == [("too_many", "Three a day", going.campaign_id)]
    with going.ground.reading() as session:
        (no,) = session.execute(select(ConsentRow)).scalars()
        assert session.get_one(LeaveReason, no.id).member_id == 2
        assert timeline.timeline(session, 2)[0].detail["why"] == "too_many"
        assert leaving.counts(session, going.campaign_id) == {"too_many": 1}
        assert leaving.words(session, going.campaign_id) == ["Three a day"]


@pytest.mark.parametrize(
    ("posted", "kept"),
    [
        ({"words": "Just so"}, ("other", "Just so")),
        ({"reason": "elsewhere"}, ("elsewhere", "")),
        ({"reason": "hacked", "words": "x"}, ("other", "x")),
        ({"words": "a\r\nb\x00\x1b[31m\u202ec"}, ("other", "a\nb[31mc")),
        ({"words": "あ" * 499 + "\r\n" + "い"}, None),
        ({"words": "あ" * 498 + "\r\n" + "い"}, ("other", "あ" * 498 + "\nい")),
        ({}, None),
        ({"reason": "", "words": " \n "}, None),
    ],
)
def test_what_may_be_told_and_what_says_nothing(client: FlaskClient, going: Going, posted: dict[str, str], kept: tuple[str, str] | None):
    path = _leave(client, going)

    answer = client.post(path, data={"why": "yes", **posted})

    assert answer.status_code == (200 if kept else 422)
    assert _reasons(going) == ([(*kept, going.campaign_id)] if kept else [])


def test_a_refused_answer_loses_nothing_that_was_typed(client: FlaskClient, going: Going):
    path = _leave(client, going)

    page = client.post(path, data={"why": "yes", "reason": "elsewhere", "words": "<b>" + "x" * 500}).text

    assert "At most 500 characters" in page
    assert 'value="elsewhere" checked' in page
    assert "&lt;b&gt;xxx" in page


def test_nobody_tells_why_they_left_who_has_not(client: FlaskClient, going: Going):
    answer = client.post(f"/u/{going.token(2)}", data=WHY)

    assert answer.status_code == 200
    assert _reasons(going) == []
    assert going.gated(2) == [2]


def test_an_undo_is_there_for_an_hour(client: FlaskClient, going: Going):
    path = _leave(client, going)
    _long_ago(going, timedelta(minutes=59))

    assert 'name="undo"' in client.get(path).text
    client.post(path, data={"undo": "yes"})
    assert going.gated(2) == [2]


@pytest.mark.parametrize("posted", [{"undo": "yes"}, {"only": "list"}, {"fewer": "monthly"}])
def test_after_the_hour_the_page_leads_to_the_preferences(client: FlaskClient, going: Going, posted: dict[str, str]):
    path = _leave(client, going)
    _long_ago(going, timedelta(minutes=61))

    page, answer = client.get(path).text, client.post(path, data=posted)

    assert 'name="undo"' not in page
    assert answer.status_code == 409
    assert "The hour in which one tap undoes it is over" in answer.text
    assert going.gated(2) == []
    client.post(f"/p/{going.token(2)}", data={"all": "return"})
    assert going.gated(2) == [2]


def test_an_undo_heard_twice_is_answered_the_same(client: FlaskClient, going: Going):
    path = _leave(client, going)

    answers = [client.post(path, data={"undo": "yes"}) for _ in range(2)]

    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert "You stay: you get our mail as before." in answers[0].text


def test_fewer_mails_instead_keep_the_member_with_their_wish(client: FlaskClient, going: Going):
    path = _leave(client, going)

    answer = client.post(path, data={"fewer": "monthly"})

    assert "You stay, with one mail a month at most." in answer.text
    assert going.gated(2) == [2]
    with going.ground.reading() as session:
        assert session.get_one(Member, 2).frequency == "monthly"
        assert [row.act for row in session.execute(select(ConsentRow).order_by(ConsentRow.id)).scalars()] == [
            "leave_all",
            "return",
            "choose",
        ]
    assert client.post(path, data={"fewer": "hourly"}).status_code == 400


def test_after_an_erasure_only_the_count_of_a_reason_is_left(client: FlaskClient, going: Going):
    path = _leave(client, going)
    client.post(path, data=WHY)

    with going.ground.writing() as session:
        erasure.erase(session, 2, now=NOW)

    with going.ground.reading() as session:
        (row,) = session.execute(select(LeaveReason)).scalars()
        assert (row.reason, row.words, row.member_id) == ("too_many", "", None)
        assert leaving.counts(session, going.campaign_id) == {"too_many": 1}
    assert client.post(path, data=WHY).status_code == 404


def test_a_complaint_offers_no_undo_and_asks_no_reason(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        suppression.suppress(session, 2, SuppressionReason.COMPLAINT, now=NOW)

    page = client.get(f"/u/{going.token(2)}").text

    assert 'name="undo"' not in page
    assert 'name="reason"' not in page


def test_a_topic_that_was_left_has_its_own_hour(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        consent.opt_out(session, 2, going.list_id, source=ConsentSource.PAGE, campaign_id=going.campaign_id, now=NOW)

    page = client.get(f"/u/{going.token(2)}").text
    answer = client.post(f"/u/{going.token(2)}", data={"undo": "yes"})

    # NOW is long before the clock of the page.
    assert 'name="undo"' not in page
    assert answer.status_code == 409
    assert going.gated(2) == []

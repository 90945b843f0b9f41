"""`/p/TOKEN`: what a member chooses holds at the next gate and leaves its row in the ledger."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from kairan import clock, i18n
from kairan.models.audience import List, Member
from kairan.models.consent import ConsentRow, ConsentSource, Permission, Wording
from tests.support.ground import NOW, make_list
from tests.unsubscribe.conftest import Going
from unsubscribe import choice_words, choices, consent


def member(going: Going, member_id: int = 2) -> Member:
    with going.ground.reading() as session:
        return session.get_one(Member, member_id)


def details(going: Going) -> list[dict[str, object]]:
    with going.ground.reading() as session:
        rows = session.execute(select(ConsentRow).order_by(ConsentRow.id)).scalars()
        return [{name: value for name, value in row.detail.items() if name not in ("network", "user_agent")} for row in rows]


@pytest.mark.parametrize(
    ("field", "value", "was"),
    [
        ("format", "text", "html"),
        ("recording", "none", "identified"),
        ("recording", "aggregate", "identified"),
        ("frequency", "weekly", "each"),
        ("language", "ja", "en"),
    ],
)
def test_a_choice_is_kept_and_leaves_a_row(client: FlaskClient, going: Going, field: str, value: str, was: str):
    answer = client.post(f"/p/{going.token(2)}", data={field: value})

    assert answer.status_code == 200
    assert getattr(member(going), {"language": "locale"}.get(field, field)) == value
    assert details(going) == [{field: [was, value]}]


def test_a_choice_is_kept_in_the_words_that_were_read(client: FlaskClient, going: Going):
    client.post(f"/p/{going.token(2)}", data={"recording": "none", "frequency": "weekly", "format": "html"})
    client.post(f"/p/{going.token(1)}", data={"all": "leave"}, headers={"Accept-Language": "en"})

    with going.ground.reading() as session:
        query = select(Wording.text).join(ConsentRow, ConsentRow.wording_id == Wording.id).order_by(ConsentRow.id)
        chosen, left = session.execute(query).scalars()
    assert chosen == (
        "How often: Once a week at most\nAfter one mail the next comes in seven days at the earliest; those between are left out.\n"
        "What may be recorded: Nothing\nNo web beacon in the mails, and plain links."
    )
    with i18n.speaking("ja"):
        assert left == str(choice_words.LEAVE_ALL) != str(choice_words.LEAVE_ALL).encode("ascii", "ignore").decode()


def test_what_staff_choose_for_a_member_is_not_kept_as_the_members_words(going: Going):
    with going.ground.writing() as session:
        consent.choose(session, 2, source=ConsentSource.STAFF, format="text", now=NOW)

    with going.ground.reading() as session:
        assert session.execute(select(ConsentRow.wording_id)).scalar_one() is None


def test_every_choice_stands_on_the_page_with_a_sentence_about_what_it_does(client: FlaskClient, going: Going):
    page = client.get(f"/p/{going.token(2)}").text

    possible = {"frequency": choices.FREQUENCIES, "format": choices.FORMATS, "recording": choices.RECORDINGS, "language": choices.LANGUAGES}
    for name, values in possible.items():
        assert [option.value for option in choice_words.OPTIONS[name]] == list(values)
        for option in choice_words.OPTIONS[name]:
            assert f'value="{option.value}"' in page
            assert f"{option.does}" in page


def test_the_page_is_one_small_request_beside_its_stylesheet(client: FlaskClient, going: Going):
    answer = client.get(f"/p/{going.token(1)}")

    linked = re.findall(r'(?:src|href)="(/[^"]+)"', answer.text)
    assert len(answer.data) < 30_000
    assert [path.partition("-")[0] for path in linked if path.startswith("/static/")] == ["/static/dist/public"]
    with client.get(linked[0]) as style:
        assert len(style.data) + len(answer.data) < 30_000


def test_fields_that_are_absent_stay(client: FlaskClient, going: Going):
    client.post(f"/p/{going.token(2)}", data={"format": "text"})
    client.post(f"/p/{going.token(2)}", data={"recording": "none"})

    found = member(going)
    assert (found.format, found.recording, found.frequency, found.locale) == ("text", "none", "each", "en")


def test_saving_what_holds_already_leaves_no_row(client: FlaskClient, going: Going):
    client.post(f"/p/{going.token(2)}", data={"format": "html", "recording": "identified", "language": "en", "frequency": "each"})

    assert details(going) == []


def test_a_pause_stops_the_next_gate_and_ends_with_a_rhythm(client: FlaskClient, going: Going):
    client.post(f"/p/{going.token(2)}", data={"frequency": "pause60"})
    pause = member(going).paused_until
    assert pause is not None
    assert timedelta(days=59) < pause - clock.now() <= timedelta(days=60)
    assert going.gated(2) == []

    client.post(f"/p/{going.token(2)}", data={"frequency": "each"})
    assert going.gated(2) == [2]


def test_no_lists_means_no_topic_and_a_tick_is_a_new_consent(client: FlaskClient, going: Going):
    client.post(f"/p/{going.token(2)}", data={"lists": ""})
    assert going.gated(2) == []

    client.post(f"/p/{going.token(2)}", data={"lists": ["", str(going.list_id)]})
    assert going.gated(2) == [2]
    with going.ground.reading() as session:
        said = session.execute(select(Wording.text).order_by(Wording.id)).scalars().all()
    assert said == ["I want no more mail about “News”.", "I want to receive “News” by mail."]


def test_a_member_without_consent_is_not_opted_in_by_saving_something_else(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        session.delete(session.get_one(Permission, (2, session.get_one(List, going.list_id).purpose_id)))

    page = client.get(f"/p/{going.token(2)}").text
    client.post(f"/p/{going.token(2)}", data={"format": "text"})

    assert f'value="{going.list_id}" checked' not in page
    assert going.gated(2) == []


def test_leaving_everything_from_the_preferences_stops_all_mail_and_may_be_taken_back(client: FlaskClient, going: Going):
    left = client.post(f"/p/{going.token(2)}", data={"all": "leave"})
    assert going.gated(2) == []
    assert f"/u/{going.token(2)}#why" in left.text
    assert 'id="why"' in client.get(f"/u/{going.token(2)}").text

    client.post(f"/p/{going.token(2)}", data={"all": "return"})
    assert going.gated(2) == [2]


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "pdf"},
        {"recording": ""},
        {"frequency": "hourly"},
        {"language": "fr"},
        {"all": "yes"},
        {"lists": "9999"},
        {"lists": "one"},
        {"lists": "-1"},
        {"lists": "１"},
        {"format": "text", "recording": "everything"},
        {"all": "leave", "format": "x"},
    ],
)
def test_a_choice_that_is_not_offered_changes_nothing_and_says_what_is(client: FlaskClient, going: Going, fields: dict[str, str]):
    before = going.counts()

    answer = client.post(f"/p/{going.token(2)}", data=fields)

    assert answer.status_code == 422
    assert "othing was changed" in answer.text
    assert going.counts() == before
    assert member(going).format == "html"
    assert going.gated(2) == [2]


def test_a_list_that_is_not_public_is_not_offered_to_those_outside(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        hidden = make_list(session, "Staff only", "Work")
        shown = make_list(session, "Events", "Invitations", now=NOW)
        shown.public = True

    page = client.get(f"/p/{going.token(2)}").text

    assert "Events" in page
    assert "Staff only" not in page
    assert client.post(f"/p/{going.token(2)}", data={"lists": str(hidden.id)}).status_code == 422

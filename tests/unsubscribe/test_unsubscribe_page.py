"""`/u/TOKEN`: what a mail program, a scanner and a member may do with the link in a mail."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from kairan import installation
from kairan.models.audience import List, Member, Subscription
from kairan.models.consent import ConsentRow, ConsentSource, Permission
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.audience import members
from tests.support.ground import NOW, make_list
from tests.unsubscribe.conftest import Going
from unsubscribe import consent, suppression, topics

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def acts(going: Going, member_id: int = 1) -> list[tuple[str, str]]:
    with going.ground.reading() as session:
        rows = session.execute(select(ConsentRow).where(ConsentRow.member_id == member_id).order_by(ConsentRow.id)).scalars()
        return [(row.act, row.source) for row in rows]


def test_one_click_stops_a_mail_that_is_still_queued(client: FlaskClient, going: Going):
    assert going.gated(1) == [1]

    answer = client.post(f"/u/{going.token(1)}", data=ONE_CLICK)

    assert answer.status_code == 200
    assert going.gated(1) == []
    assert going.gated(2) == [2]


def test_one_click_works_as_multipart_and_says_the_same_when_repeated(client: FlaskClient, going: Going):
    first = client.post(f"/u/{going.token()}", data=ONE_CLICK, content_type="multipart/form-data")
    second = client.post(f"/u/{going.token()}", data=ONE_CLICK, content_type="multipart/form-data")

    assert (first.status_code, first.data) == (second.status_code, second.data) == (200, first.data)
    assert acts(going) == [("leave_all", "one_click")]


def test_one_click_needs_no_cookie_and_no_origin_and_sets_none(client: FlaskClient, going: Going):
    foreign = {"Origin": "https://mail.example", "Referer": "https://mail.example/", "Sec-Fetch-Site": "cross-site"}

    bare = client.post(f"/u/{going.token(1)}", data=ONE_CLICK)
    from_elsewhere = client.post(f"/u/{going.token(2)}", data=ONE_CLICK, headers=foreign)

    assert (bare.status_code, from_elsewhere.status_code) == (200, 200)
    assert "Set-Cookie" not in bare.headers


def test_one_click_counts_for_the_campaign_and_keeps_only_a_prefix_of_the_network(client: FlaskClient, going: Going):
    client.post(f"/u/{going.token()}", data=ONE_CLICK, headers={"User-Agent": "Mailer/1"}, environ_base={"REMOTE_ADDR": "203.0.113.77"})

    with going.ground.reading() as session:
        row = session.execute(select(ConsentRow)).scalar_one()
        entry = session.execute(select(Suppression)).scalar_one()
    assert row.detail == {"network": "203.0.113.0/24", "user_agent": "Mailer/1"}
    assert (row.campaign_id, entry.campaign_id, entry.reason) == (going.campaign_id, going.campaign_id, "unsubscribed")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["u", "p"])
def test_a_scanner_that_fetches_the_link_changes_nothing(client: FlaskClient, going: Going, method: str, path: str):
    before = going.counts()

    answer = client.open(f"/{path}/{going.token()}", method=method)

    assert answer.status_code == 200
    assert going.counts() == before
    assert going.gated(1) == [1]


SCANNERS = (
    {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"},
    {"User-Agent": "Mozilla/5.0 (compatible; Proofpoint URL Defense)", "Referer": "https://urldefense.example/v3/"},
    {"User-Agent": "BarracudaCentral/1.0"},
    {"User-Agent": "Mimecast-TTP/1.0", "X-Forwarded-For": "203.0.113.9"},
    {"User-Agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"},
    {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Range": "bytes=0-32768"},
    {"User-Agent": "SkypeUriPreview Preview/0.5"},
    {"User-Agent": "facebookexternalhit/1.1", "Accept": "*/*"},
    {"User-Agent": "curl/8.9.1"},
    {"Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Site": "cross-site"},
    {"X-Moz": "prefetch"},
    {"User-Agent": ""},
)
"""requests as safe-link services, previews and browsers that look ahead make them"""


@pytest.mark.parametrize("query", ["", "?undo=yes", "?List-Unsubscribe=One-Click", "?all=leave&format=text&address=x%40y.example"])
def test_nothing_that_scanners_and_prefetchers_ask_for_changes_anything(client: FlaskClient, going: Going, query: str):
    before = going.counts()

    for headers in SCANNERS:
        for path in (f"/u/{going.token()}", f"/p/{going.token()}"):
            assert client.get(path + query, headers=headers).status_code == 200
            assert client.head(path + query, headers=headers).status_code == 200

    assert going.counts() == before
    assert going.gated(1) == [1]


def test_a_link_works_long_after_its_list_is_closed_and_the_member_has_moved(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        session.get_one(List, going.list_id).archived_at = NOW
        members.update(session, going.ground.secrets, 1, {"email": "moved@elsewhere.example"}, now=NOW)

    assert client.get(f"/u/{going.token(1)}").status_code == 200
    client.post(f"/u/{going.token(1)}", data=ONE_CLICK)

    assert going.gated(1) == []


def test_the_page_shows_a_masked_address_and_speaks_the_members_language(client: FlaskClient, going: Going):
    english = client.get(f"/u/{going.token(2)}", headers={"Accept-Language": "ja"}).text
    japanese = client.get(f"/u/{going.token(1)}", headers={"Accept-Language": "en"}).text

    assert "m•••@members.example" in english
    assert "m2@members.example" not in english
    assert '<html lang="en">' in english
    assert '<html lang="ja">' in japanese


def test_pages_have_no_script_no_cookie_and_are_not_kept(client: FlaskClient, going: Going):
    for path in ("u", "p"):
        answer = client.get(f"/{path}/{going.token()}")

        assert "<script" not in answer.text
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_the_button_of_the_page_unsubscribes_and_undo_restores_exactly(client: FlaskClient, going: Going):
    before = holdings(going)

    left = client.post(f"/u/{going.token()}", data={"confirm": "yes"})
    assert going.gated(1) == []
    back = client.post(f"/u/{going.token()}", data={"undo": "yes"})

    assert (left.status_code, back.status_code) == (200, 200)
    assert holdings(going) == before
    assert going.gated(1) == [1]
    assert acts(going) == [("leave_all", "page"), ("return", "page")]


def test_only_this_topic_ends_the_campaigns_list_and_leaves_the_rest(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        other = make_list(session, "Events", "Invitations")
        consent.opt_in(session, 1, other.id, source=ConsentSource.FORM, wording="Invite me", now=NOW)
    before = holdings(going)

    client.post(f"/u/{going.token()}", data={"confirm": "yes"})
    client.post(f"/u/{going.token()}", data={"only": "list"})

    assert going.gated(1) == []
    with going.ground.reading() as session:
        assert session.execute(select(Suppression)).all() == []
        assert [topic.name for topic in topics.offered(session, 1) if topic.chosen] == ["Events"]

    client.post(f"/u/{going.token()}", data={"undo": "yes"})
    assert holdings(going) == before


def test_with_the_scope_of_one_list_one_click_ends_only_the_campaigns_topics(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        installation.put(session, "one_click_scope", "list", now=NOW)

    client.post(f"/u/{going.token()}", data=ONE_CLICK)
    client.post(f"/u/{going.token()}", data=ONE_CLICK)

    assert going.gated(1) == []
    assert acts(going) == [("opt_out", "one_click")]
    with going.ground.reading() as session:
        assert session.execute(select(Suppression)).all() == []


def test_undo_takes_no_complaint_back_and_a_bounce_no_more(client: FlaskClient, going: Going):
    client.post(f"/u/{going.token(1)}", data=ONE_CLICK)
    with going.ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.COMPLAINT, now=NOW)

    client.post(f"/u/{going.token(1)}", data={"undo": "yes"})

    assert going.gated(1) == []


def test_the_members_own_no_outlives_the_release_of_a_bounce(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.BOUNCED, now=NOW)
    client.post(f"/u/{going.token(1)}", data=ONE_CLICK)

    with going.ground.writing() as session:
        key = session.get_one(Member, 1).address_key
        suppression.release(session, key, now=NOW, note="mailbox is back")

    assert going.gated(1) == []
    with going.ground.reading() as session:
        assert suppression.reason_of(session, key) == SuppressionReason.UNSUBSCRIBED


def test_one_click_of_a_member_who_was_erased_is_answered_as_done(client: FlaskClient, going: Going):
    with going.ground.writing() as session:
        consent.erase(session, 1, source=ConsentSource.STAFF, now=NOW)

    assert client.post(f"/u/{going.token()}", data=ONE_CLICK).status_code == 200
    assert client.get(f"/u/{going.token()}").status_code == 404
    assert going.gated(1) == []


def wrong_tokens(going: Going) -> list[str]:
    right = going.token()
    flipped = [right[:at] + ("A" if right[at] != "A" else "B") + right[at + 1 :] for at in range(len(right))]
    trace = going.ground.secrets.tokens.trace(going.campaign_id, 1)
    nobody = going.ground.secrets.tokens.act(999_999, going.campaign_id)
    return [*flipped, trace, nobody, right + "A", right[:-1], right + "/", "x", "あ", "%00", right.lower(), "../" + right]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["u", "p"])
def test_every_kind_of_wrong_token_gets_the_same_404(client: FlaskClient, going: Going, path: str):
    before = going.counts()

    answers = {
        (answer.status_code, answer.data, tuple(answer.headers.items()))
        for token in wrong_tokens(going)
        for answer in (client.get(f"/{path}/{token}"), client.post(f"/{path}/{token}", data={"confirm": "yes"}))
    }

    assert len(answers) == 1
    assert next(iter(answers))[0] == 404
    assert going.counts() == before


def test_a_huge_body_is_refused(client: FlaskClient, going: Going):
    answer = client.post(f"/u/{going.token()}", data={"x": "x" * 100_000})

    assert answer.status_code == 413
    assert going.gated(1) == [1]


def holdings(going: Going) -> list[tuple[object, ...]]:
    """Everything that says what member 1 gets."""
    with going.ground.reading() as session:
        permissions = session.execute(select(Permission).where(Permission.member_id == 1).order_by(Permission.purpose_id)).scalars()
        subscriptions = session.execute(select(Subscription).where(Subscription.member_id == 1).order_by(Subscription.list_id)).scalars()
        return [
            *((row.purpose_id, row.given_at, row.withdrawn_at) for row in permissions),
            *((row.list_id, row.since, row.ended_at) for row in subscriptions),
            *session.execute(select(Suppression.reason)).all(),
        ]

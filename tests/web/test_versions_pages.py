"""A marketer adds variants and languages beside the mail, tries them on a part, and reads which one did better and how sure that is."""

import email
import email.policy
import os
from dataclasses import replace

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery
from kairan.models.events import Engagement
from kairan.models.outbox import OutboxMail
from mailer.campaigns import revisions, trials
from mailer.delivery.splits import Split
from mailer.reports import intervals
from tests.support import ground as make
from tests.web.test_browser import _sign_in

CONTENT = {
    "kind": "html", "subject": "Autumn news", "preheader": "", "from_name": "Kairan Books", "from_email": "news@books.example",
    "reply_to": "", "content": "<h1>Autumn</h1><p><a href='https://shop.example/a'>Read the story</a></p>", "text": "",
}  # fmt: skip
SHOTS = os.environ.get("SHOTS")


@pytest.fixture
def campaign(ground, admin) -> str:
    """Ready to be sent to two hundred members, half of them Japanese."""
    ground.settings = replace(ground.settings, smtp_url="smtp://127.0.0.1:2525")
    with ground.writing() as session:
        into = make.make_list(session, now=clock.now())
        make.make_members(session, 200, into, now=clock.now())
        return f"/campaigns/{make.make_campaign(session, into, now=clock.now()).id}"


def _held(ground) -> revisions.Content:
    with ground.reading() as session:
        return revisions.content_of(revisions.current(session, session.get_one(Campaign, 1)))


def _save(admin, campaign, ground, version="", **more):
    with ground.reading() as session:
        base = session.get_one(Campaign, 1).revision
    return admin.post(f"{campaign}/content{version}", {**CONTENT, "base": str(base), **more})


def _followed(browser, answer) -> str:
    return browser.get(answer.location).get_data(as_text=True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestPages:
    def test_a_variant_is_added_without_losing_what_was_typed(self, admin, campaign, ground):
        answer = _save(admin, campaign, ground, subject="Typed a moment ago", then="variant")

        assert answer.location == f"{campaign}/content?version=b"
        assert 'value="Typed a moment ago"' in _followed(admin, answer)
        assert "The content does so now." in _followed(admin, answer)
        assert _held(ground).versions == {"b": {}}

    def test_a_version_is_written_saved_and_removed_on_its_own(self, admin, campaign, ground):
        _save(admin, campaign, ground, then="variant")
        _save(admin, campaign, ground, "?version=b", subject="Red leaves", then="ja")
        _save(admin, campaign, ground, "?version=b-ja", subject="紅葉")

        held = _held(ground)
        assert held.subject == "Autumn news"
        assert held.versions == {"b": {"subject": "Red leaves"}, "ja": {}, "b-ja": {"subject": "紅葉"}}
        page = admin.get(f"{campaign}/content?version=b").get_data(as_text=True)
        assert "A English" in page and "B 日本語" in page
        _save(admin, campaign, ground, "?version=b", subject="Red leaves", then="remove")
        assert _held(ground).versions == {"ja": {}}
        assert admin.get(f"{campaign}/content?version=b").status_code == 404

    def test_the_preview_and_the_inbox_line_are_those_of_the_version(self, admin, campaign, ground):
        _save(admin, campaign, ground, then="ja")
        _save(admin, campaign, ground, "?version=ja", subject="秋", content="<p>こんにちは</p>")

        assert "こんにちは" in admin.get(f"{campaign}/preview?version=ja").get_data(as_text=True)
        assert "こんにちは" not in admin.get(f"{campaign}/preview").get_data(as_text=True)
        assert "<b>秋</b>" in admin.get(f"{campaign}/review?version=ja").get_data(as_text=True)

    def test_two_who_save_are_told_and_see_the_version_they_wrote(self, admin, campaign, ground):
        _save(admin, campaign, ground, then="variant")
        answer = admin.post(f"{campaign}/content?version=b", {**CONTENT, "base": "1", "subject": "Mine"})

        page = answer.get_data(as_text=True)
        assert answer.status_code == 409
        assert f'action="{campaign}/content?version=b"' in page

    def test_the_check_looks_at_every_version_and_leads_to_it(self, admin, campaign, ground):
        _save(admin, campaign, ground, then="variant")
        page = admin.get(f"{campaign}/review").get_data(as_text=True)
        assert "Version B says the same" in page
        assert page.count("There is no preheader") == 1

        _save(admin, campaign, ground, "?version=b", from_email="news@other.example", content="<p>{{ member.nothing }}</p>")

        page = admin.get(f"{campaign}/review").get_data(as_text=True)
        assert "Version B comes from another domain" in page
        assert f'href="{campaign}/content?version=b#content"' in page

    def test_a_test_send_brings_every_version_marked(self, admin, campaign, ground):
        _save(admin, campaign, ground, then="variant")
        _save(admin, campaign, ground, "?version=b", subject="Red leaves", then="ja")

        admin.post(f"{campaign}/test", {"to": "me@books.example"})

        with ground.reading() as session:
            mails = [email.message_from_bytes(mail.message, policy=email.policy.default) for mail in session.scalars(select(OutboxMail))]
        assert sorted(str(mail["Subject"]) for mail in mails) == [
            "Test A: Autumn news", "Test B-JA: Red leaves", "Test B: Red leaves", "Test JA: Autumn news",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"hours": "0"}, "1 to 168 hours"),
            ({"hours": "x"}, "1 to 168 hours"),
            ({"by": "luck"}, "Choose what decides"),
            ({"share": "3"}, "5 to 50"),
        ],
    )
    def test_a_test_that_cannot_be_is_refused_in_a_sentence(self, admin, campaign, ground, given, says):
        _save(admin, campaign, ground, then="variant")

        answer = admin.post(f"{campaign}/trial", {"how": "test", "share": "20", "hours": "4", "by": "clicks", **given})

        assert says in _followed(admin, answer)
        with ground.reading() as session:
            assert session.get_one(Campaign, 1).trial is None

    def test_local_time_and_a_test_do_not_go_together(self, admin, campaign, ground):
        _with_trial(admin, campaign, ground)
        at = f"{clock.now().year + 1}-07-01T09:00"

        answer = admin.get(f"{campaign}/send", query_string={"when": "local", "at": at, "zone": "Asia/Tokyo"})

        assert "do not go together" in _followed(admin, answer)

    def test_a_person_sends_a_variant_to_the_rest_before_the_figures_do(self, admin, campaign, ground):
        _with_trial(admin, campaign, ground)
        make.start_sending(ground, 1, clock.now())
        page = admin.get(f"{campaign}/progress").get_data(as_text=True)
        assert "The variants are being tested" in page and "Send B to the rest" in page

        answer = _followed(admin, admin.post(f"{campaign}/trial/winner", {"winner": "1"}))
        again = _followed(admin, admin.post(f"{campaign}/trial/winner", {"winner": "0"}))

        assert "The rest gets this version now" in answer
        assert "decided already" in again
        with ground.reading() as session:
            assert trials.of(session.get_one(Campaign, 1)).winner == 1
            assert session.scalars(select(Delivery.number).where(Delivery.due_at.is_(None))).all() == []

    def test_an_analyst_may_neither_test_nor_decide(self, signed_in, admin, campaign, ground):
        _with_trial(admin, campaign, ground)
        analyst = signed_in("analyst")

        for path in ("/trial", "/trial/winner", "/content?version=b"):
            assert analyst.post(f"{campaign}{path}", {"winner": "0"}).status_code == 403

    @pytest.mark.browser
    @pytest.mark.parametrize(("width", "scheme", "language"), [(1440, "dark", "en"), (390, "light", "ja")])
    def test_the_pages_are_open_to_everybody_and_fit_the_screen(
        self, admin, campaign, ground, address, new_page, axe, width, scheme, language
    ):
        _with_trial(admin, campaign, ground)
        page = new_page(locale="en-GB", viewport={"width": width, "height": 900}, color_scheme=scheme)
        _sign_in(page, address, language)
        for path in ("content?version=b", "review"):
            _look(page, axe, f"{address}{campaign}/{path}", f"versions-{path[:6]}-{width}-{scheme}-{language}")
        make.start_sending(ground, 1, clock.now())
        _answered(ground)
        for path in ("/progress", ""):
            _look(page, axe, f"{address}{campaign}{path}", f"versions-{path[1:] or 'report'}-{width}-{scheme}-{language}")


def _with_trial(admin, campaign, ground) -> None:
    _save(admin, campaign, ground, then="variant")
    _save(admin, campaign, ground, "?version=b", subject="Red leaves")
    admin.post(f"{campaign}/trial", {"how": "test", "share": "50", "hours": "4", "by": "clicks"})


def _answered(ground) -> None:
    """The test is accepted; of B twice as many clicked."""
    split = Split(2, 50)
    with ground.writing() as session:
        for delivery in session.scalars(select(Delivery)):
            variant = split.variant_of(delivery.number)
            if variant is None:
                continue
            delivery.state, delivery.due_at = 2, None
            if delivery.number % (4 - 2 * variant) == 0:
                row = Engagement(
                    campaign_id=1, number=delivery.number, member_id=delivery.member_id, opens=1, clicks=1, last_at=clock.now()
                )
                session.add(row)


def _look(page, axe, url: str, name: str) -> None:
    page.goto(url)
    assert axe(page) == [], url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), url
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_report_says_which_did_better_and_how_sure_that_is(admin, campaign, ground):
    _with_trial(admin, campaign, ground)
    make.start_sending(ground, 1, clock.now())
    page = admin.get(campaign).get_data(as_text=True)
    assert "Of the members in the test" in page and "may be chance" not in page

    _answered(ground)

    page = admin.get(campaign).get_data(as_text=True)
    assert "B did better than A" in page
    assert "Red leaves" in page


def test_intervals_are_those_of_the_literature():
    # Newcombe 1998, Statistics in Medicine 17: 873-890, table II: 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    one, other = intervals.wilson(56, 70), intervals.wilson(48, 80)

    assert intervals.newcombe(one, other) == pytest.approx((0.0524, 0.3339), abs=0.0001)
    assert intervals.wilson(0, 0) is None
    assert (intervals.wilson(0, 10).low, intervals.wilson(10, 10).high) == pytest.approx((0.0, 1.0))

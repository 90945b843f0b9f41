"""The pages in a real browser: nobody is kept out, nothing is asked of other hosts, and what one types is seen and kept."""

import pytest

from kairan import clock
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.campaigns import Link
from kairan.models.consent import Permission
from kairan.models.deliveries import Delivery, State
from kairan.models.events import EventKind, Rollup
from kairan.models.jobs import Job
from mailer.campaigns import lifecycle
from mailer.campaigns.lifecycle import Reach
from mailer.campaigns.revisions import Content
from tests.web.conftest import PASSWORD

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MAIL = "<h1>Autumn</h1><p>Hello {{ member.first_name | default: 'you' }}</p><p><a href='https://example.org/more'>Read more</a></p>"
PAGES = (
    "/",
    "/campaigns",
    "/campaigns/new",
    "/campaigns/1",
    "/campaigns/1/links",
    "/campaigns/1/export",
    "/campaigns/1/recipients-report",
    "/campaigns/2/recipients",
    "/campaigns/2/content",
    "/campaigns/2/review",
    "/campaigns/3/progress",
    "/audience/members",
    "/audience/members/1",
    "/audience/members/new",
    "/audience/members/export",
    "/audience/lists",
    "/audience/lists/1",
    "/audience/imports",
    "/audience/suppressions",
    "/audience/suppressions/domains",
    "/audience/suppressions/import",
    "/audience/suppressions/export",
    "/reports",
    "/reports/export",
    "/search?q=autumn",
    "/settings",
    "/settings/about",
    "/jobs",
    "/jobs/1",
)


@pytest.fixture
def address(address, ground) -> str:
    """An installation with a sent campaign, a draft and one that is going out."""
    with ground.writing() as session:
        _fill(session, ground)
    return address


def _fill(session, ground) -> None:
    now = clock.now()
    purpose = Purpose(name="News", created_at=now)
    session.add(purpose)
    session.flush()
    news = List(name="Club news", purpose_id=purpose.id, created_at=now)
    session.add_all([news, Job(kind="import", arguments={"source": "members.csv"}, done=3, total=9, created_at=now)])
    session.flush()
    member = Member(
        email="hanako@example.com",
        address_key=ground.secrets.address_key("hanako@example.com"),
        first_name="Hanako",
        created_at=now,
        updated_at=now,
    )
    session.add(member)
    session.flush()
    session.add(Subscription(member_id=member.id, list_id=news.id, since=now))
    session.add(Permission(member_id=member.id, purpose_id=purpose.id, given_at=now))
    content = Content(subject="Autumn", from_name="Aoba Club", from_email="news@example.org", content=MAIL)
    for name, status in (("Autumn", "sent"), ("Winter", "draft"), ("Spring", "sending")):
        campaign = lifecycle.create(session, name, Reach(lists=(news.id,)), content, now=now, by=1)
        campaign.status = status
        if status != "draft":
            campaign.started_at = campaign.snapshot_at = now
            campaign.audience = 1
            state = State.ACCEPTED if status == "sent" else State.QUEUED
            session.add(Delivery(campaign_id=campaign.id, number=1, member_id=member.id, address_key=member.address_key, state=state))
    hour = now.replace(minute=0, second=0, microsecond=0)
    session.add(Link(campaign_id=1, number=1, revision=1, kind="text", label="Read more", url="https://example.org/more"))
    session.add(Rollup(campaign_id=1, hour=hour, kind=EventKind.OPEN, link=0, people=1, unique=1))
    session.add(Rollup(campaign_id=1, hour=hour, kind=EventKind.CLICK, link=1, people=1, unique=1, unique_any=1))


def _sign_in(page, address: str, language: str = "en") -> None:
    page.goto(f"{address}/login")
    page.fill("#email", "admin@example.org")
    page.fill("#password", PASSWORD)
    page.click("main .btn.pri")
    page.wait_for_url(f"{address}/")
    if language != "en":
        page.click(".person summary" if page.viewport_size["width"] > 960 else ".bar-more summary")
        page.locator(f"button[name=language][value={language}]:visible").click()
        page.wait_for_selector(f"html[lang={language}]")


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(1440, "light", "en"), (1440, "dark", "ja"), (390, "light", "ja"), (390, "dark", "en")]
)
def test_every_page_is_open_to_everybody_and_fits_the_screen(address, new_page, axe, width, scheme, language):
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{address}/login")
    assert axe(page) == []
    _sign_in(page, address, language)

    for path in PAGES:
        answer = page.goto(address + path)

        assert answer.status == 200, path
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"


def test_the_preview_follows_what_is_typed_and_back_leaves_the_page(address, page):
    _sign_in(page, address)
    page.goto(f"{address}/campaigns/2/content")
    before = page.evaluate("history.length")

    page.fill("#content", "<p>Typed just now</p>")
    page.click("button.chip >> nth=0")

    preview = page.frame(name="preview")
    preview.wait_for_selector("text=Typed just now")
    preview.wait_for_selector("text=Hanako")
    assert page.evaluate("history.length") == before


def test_a_step_saves_by_itself_and_the_second_of_two_is_told(address, new_page):
    first, second = new_page(locale="en-GB"), new_page(locale="en-GB")
    for page in (first, second):
        _sign_in(page, address)
        page.goto(f"{address}/campaigns/2/content")

    first.fill("#subject", "First")
    first.wait_for_selector("[data-savestate][data-state=saved]")
    first.wait_for_selector("input[name=base][value='2']", state="attached")
    second.on("console", lambda _message: None)
    second.fill("#subject", "Second")
    second.wait_for_selector("[data-conflict-notice]:visible")
    second.click("form.editor button:has-text('Save')")

    assert second.inner_text("h1") == "Somebody else saved first"
    assert second.input_value("#subject") == "Second"
    second.click("text=Save mine as the newest version")
    second.wait_for_url("**/content")
    assert second.input_value("#subject") == "Second"


def test_a_step_that_cannot_be_saved_says_which_field_is_wrong_and_saves_once_it_is_right(address, page):
    _sign_in(page, address)
    page.goto(f"{address}/campaigns/2/content")

    page.fill("#from_email", "nobody")
    page.wait_for_selector("[data-savestate][data-state=refused]:has-text('This is not a mail address')")
    page.fill("#from_email", "news@example.org")

    page.wait_for_selector("[data-savestate][data-state=saved]")


def test_the_count_of_recipients_follows_the_choice(address, page):
    _sign_in(page, address)
    page.goto(f"{address}/campaigns/2/recipients")
    assert page.inner_text("#reach .kpi-figure") == "1 member"

    page.click("label.tile:has-text('Club news')")

    page.wait_for_selector("#reach .kpi-figure:has-text('0 members')")


def test_the_click_map_draws_the_count_on_the_link(address, page):
    _sign_in(page, address)
    page.goto(f"{address}/campaigns/1/links")

    page.wait_for_selector(".map-count")

    assert page.inner_text(".map-count >> nth=0") == "1"


def test_everything_works_without_script(address, new_page):
    page = new_page(locale="en-GB", java_script_enabled=False)
    _sign_in(page, address)

    page.goto(f"{address}/campaigns/new")
    page.fill("#name", "Without script")
    page.click("button:has-text('Continue')")
    page.check("label.tile:has-text('Club news') input")
    page.click("button:has-text('Save and count')")
    assert page.inner_text("#reach .kpi-figure") == "1 member"
    page.click("button:has-text('Continue to the content')")
    page.click("text=Go on as HTML >> visible=true")
    page.fill("#subject", "Hello")
    page.fill("#from_email", "news@example.org")
    page.fill("#content", "<p>Plain and simple</p>")
    page.click("[data-preview]")
    page.frame(name="preview").wait_for_selector("text=Plain and simple")
    page.click("button:has-text('Continue to the review')")

    assert page.inner_text("#reach .kpi-figure") == "1 member"
    assert page.input_value("#to") == "admin@example.org"

"""Flow 3: a starter → own words, own button, own picture → the preview of a telephone → a test → scheduled. By mouse, by keys, by touch."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from kairan import clock, installation
from kairan.models.accounts import Role
from kairan.models.campaigns import Campaign
from mailer.accounts import passwords, people
from mailer.delivery import system_mail
from mailer.media import pictures
from tests.support import ground as make
from tests.support.installation import wait_for
from tests.web.test_browser import _sign_in as sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS", "")
PASSWORD = "correct horse battery"
STILL = """() => new Promise(done => {
    let y;
    const look = () => (y === scrollY ? done() : ((y = scrollY), setTimeout(look, 80)));
    look();
})"""
SELECTED = "!document.querySelector('[data-composer]').editor.state.selection.empty"
YEAR = clock.now().year + 1


@pytest.fixture
def home(ground, address) -> str:
    """An installation with an administrator, a list of three, and a picture in the library."""
    now = clock.now()
    out = io.BytesIO()
    Image.new("RGB", (600, 300), "#c96a2b").save(out, "PNG")
    with ground.writing() as session:
        people.add(session, "admin@example.org", Role.ADMIN, now).password_hash = passwords.hashed(PASSWORD)
        make.make_organisation(session, now)
        installation.put(session, "sender", {"name": "Kairan Books", "email": "news@books.example"}, now=now)
        into = make.make_list(session, now=now)
        make.make_members(session, 3, into, now=now)
        pictures.store(session, out.getvalue(), name="leaves.png", alt="Red leaves", now=now)
    return address


class Mouse:
    """A person with a mouse: what is clicked has to be seen."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, selector: str) -> None:
        self.page.locator(selector).first.click()

    def write(self, selector: str, text: str) -> None:
        self.press(selector)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def add(self, kind: str) -> None:
        self.press(f"[data-palette] [data-kind={kind}]")

    def choose(self, name: str, value: str) -> None:
        self.press(f"label:has(> input[name={name}][value={value}])")

    def date(self) -> None:
        self.press("#at")
        self.page.keyboard.type("0202")
        self.page.keyboard.type(str(YEAR))
        self.page.keyboard.press("ArrowRight")
        self.page.keyboard.type("0900A")


class Touch(Mouse):
    """A finger on a telephone."""

    def press(self, selector: str) -> None:
        found = self.page.locator(selector).first
        found.scroll_into_view_if_needed()
        # A tap while the page still scrolls is none.
        self.page.evaluate(STILL)
        found.tap()

    def date(self) -> None:
        """A telephone opens its own wheel of dates, which is no part of the page."""
        self.page.locator("#at").fill(f"{YEAR}-02-02T09:00")


class Keys(Mouse):
    """Keys alone: what is wanted has to come by Tab."""

    def press(self, selector: str) -> None:
        self.reach(selector)
        self.page.keyboard.press("Space" if self.page.evaluate("document.activeElement.type === 'checkbox'") else "Enter")

    def write(self, selector: str, text: str) -> None:
        self.reach(selector)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def add(self, kind: str) -> None:
        """By `/` in a new line behind where one is."""
        self.reach(".c-mail", back=True)
        self.page.keyboard.press("Enter")
        self.page.keyboard.type(f"/{kind}")
        self.page.wait_for_selector(f"#c-slash-{kind}[aria-selected=true]")
        self.page.keyboard.press("Enter")

    def choose(self, name: str, value: str) -> None:
        """Arrows go through the radio buttons of a group, of which Tab reaches the chosen one."""
        self.reach(f"input[name={name}]")
        for _ in range(8):
            if self.page.evaluate("document.activeElement.value") == value:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{name} has no {value}")

    def date(self) -> None:
        self.reach("#at")
        self.page.keyboard.type("0202")
        self.page.keyboard.type(str(YEAR))
        self.page.keyboard.press("ArrowRight")
        self.page.keyboard.type("0900A")

    def reach(self, selector: str, *, back: bool = False) -> None:
        for _ in range(160):
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"the keys do not lead to {selector}")


HANDS = [
    (Mouse, {"viewport": {"width": 1440, "height": 900}}),
    (Keys, {"viewport": {"width": 1280, "height": 900}}),
    (Touch, {"viewport": {"width": 390, "height": 844}, "has_touch": True}),
]


@pytest.mark.parametrize(("by", "screen"), HANDS, ids=["mouse", "keys", "touch"])
def test_from_a_starter_to_a_scheduled_mail(ground, home, smtp_sink, new_page, axe, by, screen):
    page = new_page(locale="en-GB", **screen)
    sign_in(page, home, "en")
    hand = by(page)

    # a starter, and who gets it
    page.goto(f"{home}/campaigns/new")
    hand.write("#name", "Autumn walk")
    hand.press("main .actions .btn.pri")
    page.wait_for_url("**/recipients")
    hand.press("input[name=lists]" if by is Keys else "label:has(> input[name=lists])")
    page.wait_for_selector("#reach .kpi-figure:has-text('3 members')")
    hand.press("main .actions .btn.pri")
    page.wait_for_selector("[data-composer][data-ready]")

    # own words, button, picture
    hand.write("#subject", "Walk with us")
    if by is Keys:
        hand.reach(".c-mail")
        page.keyboard.press("Control+Home")
    else:
        hand.press(".c-mail h1")
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    wait_for("the headline is selected", lambda: page.evaluate(SELECTED))
    page.keyboard.type("Three walks under red leaves")
    page.wait_for_selector(".c-mail h1:has-text('Three walks under red leaves')")
    hand.add("button")
    page.wait_for_selector(".c-mail .c-button.ProseMirror-selectednode")
    hand.write("[data-panel] details:first-child input[type=text]", "Come along")
    hand.write("[data-panel] input[type=url]", "https://shop.example/walks")
    hand.add("image")
    page.wait_for_selector(".c-mail .c-image.ProseMirror-selectednode")
    hand.press("[data-panel] button.btn")
    page.wait_for_selector(".c-picture img")
    hand.press(".c-picture")
    page.wait_for_selector(".c-mail .c-image img")
    page.wait_for_selector("[data-savestate][data-state=saved]")

    # as a telephone shows it
    hand.choose("view", "phone")
    page.wait_for_selector(".mail[data-view=phone]")
    frame = page.frame(name="preview")
    frame.wait_for_selector("text=Come along")
    assert frame.evaluate("innerWidth") <= 376
    assert axe(page) == []
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/flow3-{by.__name__}.png", full_page=True)
    hand.press("button[name=go]")
    page.wait_for_url("**/review")

    # a test, and the time
    hand.press("#test button")
    page.wait_for_selector("text=The test goes to one address")
    with ThreadPoolExecutor(1) as worker:  # Playwright runs its loop in this thread
        worker.submit(system_mail.send_due).result()
    assert b"Come along" in smtp_sink.wait_for(1)[0].raw
    hand.choose("when", "later")
    hand.date()
    hand.press("#when .actions .btn.pri")
    page.wait_for_url("**/send?**")
    if page.locator("input[name=seen]").count():
        hand.press("input[name=seen]")
    hand.press("main form[method=post] .actions .btn.pri")
    page.wait_for_url("**/progress")
    assert axe(page) == []

    with ground.reading() as session:
        campaign = session.scalars(select(Campaign)).one()
        assert (campaign.status, campaign.due_wall) == ("scheduled", f"{YEAR}-02-02T09:00")

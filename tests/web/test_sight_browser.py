"""What sending does and whom it tells, in a real browser: open to everybody on any screen, and it works without script."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from kairan import clock, vault
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, State
from kairan.models.sending import SendingDomain
from mailer.delivery import provider_changes, providers
from mailer.delivery.provider_changes import Wanted
from tests.support import ground as support
from tests.web.test_browser import _sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS")
PAGES = {
    "home": "/",
    "going": "/campaigns/1/progress",
    "paused": "/campaigns/2/progress",
    "uncertain": "/campaigns/1/uncertain",
    "decide": "/campaigns/1/uncertain/decide?decision=again&all=yes",
    "alerts": "/settings/alerts",
}


def _fill(ground) -> None:
    """A campaign that goes out with every trouble there is, one that stopped, a mail server that fails, a domain that is not published."""
    now = clock.now()
    with ground.writing() as session:
        into = support.make_list(session)
        support.make_members(session, 60, into)
        support.make_members(session, 40, into, first=1_000, domain="a-rather-long-domain-name.of-some-company.example")
        campaigns = [support.make_campaign(session, into).id for _ in range(2)]
        for name in ("Mail service", "Second service"):
            wanted = Wanted(name, f"{name.split()[0].lower()}.example.org", 587, "starttls", "me", "pw")
            provider_changes.add(session, wanted, vault.of(ground.secrets), now)
        providers.open_breaker(session, 2, "the server refused the login: 535 5.7.8 wrong user name or password", now)
        session.add(SendingDomain(domain="books.example", created_at=now, checked_at=now, findings=[_MISSING]))
    for campaign_id in campaigns:
        support.start_sending(ground, campaign_id, now - timedelta(minutes=3))
    with ground.writing() as session:
        for numbers, values in _states(now):
            session.execute(update(Delivery).where(Delivery.number.in_(numbers)).values(**values))
        stopped = {
            "status": CampaignStatus.PAUSED,
            "paused_reason": "login_refused",
            "paused_detail": "535 5.7.8 wrong user name or password",
        }
        session.execute(update(Campaign).where(Campaign.id == 2).values(**stopped))


_MISSING = {"state": "missing", "purpose": "dkim", "name": "k._domainkey.books.example", "wanted": "", "seen": []}


def _states(now):
    ended = {"ended_at": now, "due_at": None}
    full = "4.2.2 mailbox full, try again when the member has made room <4f2a9b7710@mx7.a-rather-long-domain-name.example>"
    return (
        (range(1, 71), {"state": State.ACCEPTED, "code": 250, "provider_id": 1, **ended}),
        (range(71, 76), {"state": State.REJECTED, "code": 550, "reply": "5.1.1 no such user", "provider_id": 2, **ended}),
        (range(76, 80), {"state": State.DEFERRED, "code": 452, "reply": full, "provider_id": 1, "due_at": now + timedelta(minutes=12)}),
        (range(80, 83), {"state": State.UNCERTAIN, "reply": "the connection was lost after the final dot", "provider_id": 1, **ended}),
    )


@pytest.mark.parametrize(("width", "scheme", "language"), [(1440, "light", "en"), (390, "dark", "ja")])
def test_the_pages_are_open_to_everybody_and_fit_the_screen(address, ground, new_page, axe, width, scheme, language):
    _fill(ground)
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    _sign_in(page, address, language)

    for name, path in PAGES.items():
        assert page.goto(address + path).status == 200, path
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{width}-{scheme}-{language}.png"), full_page=True)


def test_chosen_deliveries_are_decided_without_script(address, ground, new_page):
    _fill(ground)
    page = new_page(locale="en-GB", java_script_enabled=False, viewport={"width": 390, "height": 844})
    _sign_in(page, address)

    page.goto(f"{address}/")
    page.click("main a:text-is('Decide') >> nth=0")
    page.check("input[name=number] >> nth=0")
    page.check("input[name=number] >> nth=1")
    page.click("button:has-text('Those chosen have arrived')")
    page.click("main button:has-text('They have arrived')")

    page.wait_for_selector("text=2 deliveries count as arrived.")
    assert page.locator("input[name=number]").count() == 1

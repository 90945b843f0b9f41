"""Settings of opens and clicks: what was not recorded, the sites with the beacon, and what a campaign switches off."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kairan import clock
from kairan.models.campaigns import Campaign
from kairan.models.events import IngestCount
from kairan.models.webhooks import Site, SiteVisits
from kairan.runtime import Runtime
from mailer.web import tracking_settings
from tests.support import ground as make
from tests.web.test_browser import _sign_in as sign_in
from tests.web.test_report_pages import words
from tracking import packing

SHOTS = os.environ.get("SHOTS", "")


def test_what_was_not_recorded_is_told_with_its_reason(ground: Runtime, admin: Any) -> None:
    assert "Every fetch of the last 30 days was recorded." in words(admin.get("/settings/tracking"))
    today = clock.now().date()
    with ground.writing() as session:
        session.add(IngestCount(day=today.isoformat(), reason="refused", count=7))
        session.add(IngestCount(day=today.isoformat(), reason="buffer_full", count=3))
        session.add(IngestCount(day=(today - timedelta(days=60)).isoformat(), reason="clock", count=99))

    page = words(admin.get("/settings/tracking"))
    assert "The member refuses to be recorded 7" in page and re.search(r"Redis was away for too long Lost 3", page)
    assert "99" not in page


def test_every_reason_for_a_loss_has_words() -> None:
    assert set(packing.LOST.values()) <= set(tracking_settings.REASONS)


def test_a_site_is_registered_shown_and_removed(ground: Runtime, admin: Any) -> None:
    made = admin.post("/settings/tracking/sites", {"name": "Shop", "host": "https://WWW.Shop.example/"})
    assert made.status_code == 303
    page = admin.get(made.headers["Location"]).get_data(as_text=True)
    assert "www.shop.example" in page and re.search(r"/b/[\w-]{12}\.js", page)
    assert "registered already" in words(admin.post("/settings/tracking/sites", {"name": "Again", "host": "www.shop.example"}))
    for wrong in ("shop", "shop.example/path", "*.shop.example", "a b.example"):
        assert admin.post("/settings/tracking/sites", {"name": "x", "host": wrong}).status_code == 422
    assert admin.post("/settings/tracking/sites/1/delete").status_code == 303 and admin.get("/settings/tracking/sites/1").status_code == 404


def test_an_analyst_sees_and_changes_nothing(signed_in: Callable[[str], Any]) -> None:
    analyst = signed_in("analyst")
    assert analyst.post("/settings/tracking/sites", {"name": "x", "host": "x.example"}).status_code == 403


def test_a_campaign_switches_opens_and_clicks_apart(ground: Runtime, admin: Any) -> None:
    with ground.writing() as session:
        topic = make.make_list(session)
        campaign_id = make.make_campaign(session, topic).id
    path = f"/campaigns/{campaign_id}/recipients"
    given = {"name": "News", "recording": "identified", "lists": "1", "links": "said", "record": "clicks", "utm_source": "mail"}
    assert admin.post(path, given).status_code == 303
    with ground.reading() as session:
        row = session.get_one(Campaign, campaign_id)
        assert (row.record_opens, row.record_clicks, row.utm) == (False, True, {"source": "mail"})
    # a form without these boxes leaves them as they are
    assert admin.post(path, {"name": "News", "recording": "identified", "lists": "1"}).status_code == 303
    with ground.reading() as session:
        assert session.get_one(Campaign, campaign_id).utm == {"source": "mail"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "light", "ja"), pytest.param(1280, "dark", "en", marks=pytest.mark.slow)])
def test_pages_of_tracking_are_open_to_everybody(
    ground: Runtime, address: str, new_page: Callable[..., Any], axe: Callable[..., Any], width: int, scheme: str, language: str
) -> None:
    today = clock.now().date()
    with ground.writing() as session:
        session.add(IngestCount(day=today.isoformat(), reason="duplicate", count=12))
        session.add(Site(name="Shop", host="shop.example", code="abcdefghijkl", created_at=clock.now()))
        session.flush()
        for back in range(20):
            day = (today - timedelta(days=back)).isoformat()
            session.add(SiteVisits(site_id=1, day=day, path="/spring", views=100 - back, known=20))
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    sign_in(page, address, language)
    for name, path in (("all", ""), ("site", "/sites/1")):
        page.goto(f"{address}/settings/tracking{path}")
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/tracking-{name}-{width}-{scheme}-{language}.png", full_page=True)

"""When a campaign goes out, as it is asked for in the browser: in a zone, by members' clocks, again and again; and the calendar."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, Series
from mailer.campaigns import lifecycle, series
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan
from tests.support import ground as make
from tests.web.test_browser import _sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS")
NEXT = clock.now().year + 1
HOURS = {"hours": "yes", "from": "08:00", "until": "20:00", "window_days": ["0", "1"], "per_hour": "600"}
SERIES = {"when": "recurring", "every": "week", "interval": "2", "days": ["0", "3"], "time": "09:00", "zone": "Asia/Tokyo", "seen": "yes"}


@pytest.fixture
def campaign(ground, admin) -> str:
    """Ready to be sent to three members."""
    ground.settings = replace(ground.settings, smtp_url="smtp://127.0.0.1:2525")
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 3, into)
        return f"/campaigns/{make.make_campaign(session, into).id}"


def _campaign(ground) -> Campaign:
    with ground.reading() as session:
        return session.get_one(Campaign, 1)


def _series(ground) -> Series:
    with ground.reading() as session:
        return session.get_one(Series, 1)


def test_a_time_in_a_zone_is_asked_again_and_kept_as_it_was_said(admin, campaign, ground):
    asked = {"when": "later", "at": f"{NEXT}-07-01T09:00", "zone": "America/New_York", **HOURS}
    question = admin.get(f"{campaign}/send", query_string=asked).get_data(as_text=True)
    admin.post(f"{campaign}/send", {**asked, "seen": "yes"})

    assert "9:00\u202fAM (America/New_York)" in question
    assert "Only from 08:00 to 20:00, Monday, Tuesday." in question
    assert "Not more than 600 mails an hour." in question
    assert question.count('name="window_days"') == 2
    found = _campaign(ground)
    assert (found.status, found.due_wall, found.due_zone) == ("scheduled", f"{NEXT}-07-01T09:00", "America/New_York")
    assert found.due_at == datetime(NEXT, 7, 1, 13, 0, tzinfo=UTC)
    assert found.send_window == {"from": "08:00", "until": "20:00", "days": ["mon", "tue"], "local": False}
    assert found.per_hour == 600


def test_by_local_time_it_says_when_it_begins_and_who_is_late(admin, campaign, ground):
    before = clock.now()
    with ground.writing() as session:
        session.execute(update(Member).where(Member.id == 1).values(time_zone="Asia/Tokyo"))
    in_an_hour = (before.astimezone(ZoneInfo("Europe/Berlin")) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    asked = {"when": "local", "at": in_an_hour, "zone": "Europe/Berlin"}

    question = admin.get(f"{campaign}/send", query_string=asked).get_data(as_text=True)
    assert "of their own clock" in question
    assert "over already in the zone of one member" in question
    admin.post(f"{campaign}/send", {**asked, "seen": "yes"})

    found = _campaign(ground)
    assert (found.status, found.local_time) == ("scheduled", True)
    # The first zone had it hours ago: a minute to undo, as for any other.
    assert before + timedelta(seconds=60) <= found.due_at <= clock.now() + timedelta(seconds=60)
    assert "Nothing was sent" in _followed(admin, admin.post(f"{campaign}/undo"))
    assert _campaign(ground).status == "draft"


def _followed(browser, answer) -> str:
    return browser.get(answer.location).get_data(as_text=True)


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("at", {"when": "later", "at": "2001-01-01T09:00", "zone": "UTC"}),
        ("at", {"when": "later", "at": "", "zone": "UTC"}),
        ("at", {"when": "later", "at": "9999-12-31T23:59", "zone": "UTC"}),
        ("zone", {"when": "later", "at": f"{NEXT}-01-01T09:00", "zone": "Atlantis"}),
        ("from", {"when": "now", "hours": "yes", "from": "20:00", "until": "08:00", "window_days": "0"}),
        ("from", {"when": "now", "hours": "yes", "from": "x", "until": "08:00", "window_days": "0"}),
        ("from", {"when": "now", "hours": "yes", "from": "08:00", "until": "20:00"}),
        ("per_hour", {"when": "now", "per_hour": "many"}),
        ("per_hour", {"when": "now", "per_hour": "0"}),
        ("time", {"when": "recurring", "every": "day"}),
        ("days-0", {"when": "recurring", "every": "week", "time": "09:00"}),
        ("day", {"when": "recurring", "every": "month", "time": "09:00"}),
        ("ends_on", {"when": "recurring", "every": "day", "time": "09:00", "ends_on": "2001-01-01"}),
        ("count", {"when": "recurring", "every": "day", "time": "09:00", "count": "99999999"}),
        ("when", {"when": "sometimes"}),
    ],
)
def test_what_cannot_be_is_said_beside_the_field_and_nothing_typed_is_lost(admin, campaign, ground, field, typed):
    answer = admin.get(f"{campaign}/send", query_string=typed)
    page = answer.get_data(as_text=True)

    assert answer.status_code == 422
    assert f'href="#{field}"' in page
    assert f'value="{typed["when"]}" checked' in page or field == "when"
    admin.post(f"{campaign}/send", {**typed, "seen": "yes"})
    assert _campaign(ground).status == "draft"


def test_a_recurring_campaign_is_begun_shown_changed_paused_and_ended(admin, campaign, ground):
    question = admin.get(f"{campaign}/send", query_string=SERIES).get_data(as_text=True)
    assert "Every 2 weeks on Monday, Thursday at 09:00 (Asia/Tokyo)." in question

    page = admin.post(f"{campaign}/send", SERIES)
    assert page.location == "/campaigns/series/1"
    shown = _followed(admin, page)
    assert "Every 2 weeks" in shown and "None yet" in shown
    assert "pattern of a recurring campaign" in admin.get(f"{campaign}/review").get_data(as_text=True)
    assert _campaign(ground).status == "draft"

    edit = admin.get("/campaigns/series/1/edit").get_data(as_text=True)
    assert 'id="days-3" name="days" value="3" checked' in edit
    admin.post("/campaigns/series/1/edit", {**SERIES, "every": "nth", "nth": "-1", "weekday": "4", "interval": "1"})
    assert "Every month on the last Friday at 09:00" in admin.get("/campaigns/series/1").get_data(as_text=True)
    assert _series(ground).rule["nth"] == -1

    for act, state in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        admin.post(f"/campaigns/series/1/{act}")
        assert _series(ground).state == state
    assert "somebody changed the series" in _followed(admin, admin.post("/campaigns/series/1/pause"))
    assert admin.get("/campaigns/series/1/edit").status_code == 409
    assert 'name="when" value="recurring"' in admin.get(f"{campaign}/review").get_data(as_text=True)  # it may begin anew


def test_who_may_only_look_changes_no_series(signed_in, admin, campaign):
    admin.post(f"{campaign}/send", SERIES)
    analyst = signed_in("analyst")

    assert analyst.get("/campaigns/series/1").status_code == 200
    for act in ("edit", "pause", "resume", "end"):
        assert analyst.post(f"/campaigns/series/1/{act}", SERIES).status_code == 403


def test_the_calendar_shows_what_is_scheduled_and_what_a_series_brings(admin, campaign, ground):
    copied = admin.post(f"{campaign}/copy").location.removesuffix("/content")
    admin.post(f"{copied}/send", {"when": "later", "at": f"{NEXT}-07-01T23:30", "zone": "UTC", "seen": "yes"})
    admin.post(f"{campaign}/send", {**SERIES, "zone": "UTC", "starts_on": f"{NEXT}-07-01", "every": "month", "day": "-1", "interval": "1"})

    july = admin.get(f"/campaigns/calendar?month={NEXT}-07").get_data(as_text=True)
    assert f"July {NEXT}" in july
    assert july.count('href="/campaigns/2/progress"') == 1
    assert july.count('href="/campaigns/series/1"') >= 1
    assert f'href="/campaigns/calendar?month={NEXT}-06"' in july and f'href="/campaigns/calendar?month={NEXT}-08"' in july
    assert "Nothing in this month" in admin.get("/campaigns/calendar?month=2001-01").get_data(as_text=True)
    assert admin.get("/campaigns/calendar").status_code == 200
    for wrong in ("2026-13", "x", "0001-01", "9999-12"):
        assert admin.get(f"/campaigns/calendar?month={wrong}").status_code == 404


# ---- in a browser


def _fill(ground) -> None:
    """A draft, a series with an occurrence that went out and days to come, something scheduled."""
    now = clock.now()
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 3, into)
        ids = [make.make_campaign(session, into, html="<p>Hello</p>").id for _ in range(3)]
        plan = Plan(zone="Asia/Tokyo", rule=Rule("day", 9 * 60, now.date() - timedelta(days=1)))
        row = series.begin(session, ids[1], plan, now=now)
        row.missed, row.missed_wall = 2, "2026-11-20T09:00"
        lifecycle.schedule(session, ids[2], now + timedelta(days=1), now=now, wall=None, zone="Asia/Tokyo")
        made = lifecycle.copy(session, ids[1], "Autumn 2026-11-21", now=now)
        made.series_id, made.occurrence = row.id, "2026-11-21T09:00"
    make.start_sending(ground, made.id, now)


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(1440, "light", "en"), (1440, "dark", "ja"), (390, "light", "ja"), (390, "dark", "en")]
)
def test_the_pages_are_open_to_everybody_and_fit_the_screen(address, ground, new_page, axe, width, scheme, language):
    ground.settings = replace(ground.settings, smtp_url="smtp://127.0.0.1:2525")
    _fill(ground)
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    _sign_in(page, address, language)

    paths = ("/campaigns/calendar", "/campaigns/series/1", "/campaigns/series/1/edit", "/campaigns/1/review", "/campaigns?tab=draft")
    for number, path in enumerate(paths):
        answer = page.goto(address + path)
        if path.endswith("review"):
            page.locator("summary", has_text={"en": "Hours and pace", "ja": "送信時間帯"}[language]).click()
            page.locator('input[name="when"][value="recurring"]').check()

        assert answer.status == 200, path
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"schedule-{number}-{width}-{scheme}-{language}.png"), full_page=True)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"


@pytest.mark.parametrize("script", [True, False], ids=["with-script", "without-script"])
def test_a_mail_for_nine_o_clock_everywhere_is_scheduled_and_taken_back_by_keyboard_and_without_script(address, ground, new_page, script):
    ground.settings = replace(ground.settings, smtp_url="smtp://127.0.0.1:2525")
    _fill(ground)
    page = new_page(locale="en-GB", java_script_enabled=script, viewport={"width": 390, "height": 900})
    _sign_in(page, address, "en")
    page.goto(f"{address}/campaigns/1/review")

    page.locator('input[name="when"][value="local"]').check()
    page.get_by_label("Date and time").fill(f"{NEXT}-07-01T09:00")
    page.get_by_role("combobox", name="Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Continue to sending").press("Enter")
    page.get_by_role("button", name="Schedule to").wait_for()
    if page.get_by_label("I have seen these warnings").count():
        page.get_by_label("I have seen these warnings").check()
    page.get_by_role("button", name="Schedule to").press("Enter")
    page.wait_for_url("**/progress")
    with ground.reading() as session:
        found = session.get_one(Campaign, 1)
        assert (found.status, found.local_time, found.due_zone) == ("scheduled", True, "Europe/Berlin")
        assert session.execute(select(Series.id)).scalars().all() == [1]

    page.get_by_role("button", name="Take back").press("Enter")
    page.wait_for_url("**/review")
    with ground.reading() as session:
        assert session.get_one(Campaign, 1).status == "draft"

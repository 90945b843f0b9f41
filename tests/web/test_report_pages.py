"""A campaign's report at any size: what it says, what it compares, and that everybody can read it."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.consent import ConsentSource
from kairan.models.events import Aspect, Facet
from kairan.models.suppression import Suppression
from kairan.runtime import Runtime
from mailer.bench import read_campaign, sample
from mailer.reports import facets
from mailer.web import breakdowns, report_curves
from tests.support import recount
from tests.web.test_browser import _sign_in as sign_in
from tracking import machines, networks
from unsubscribe import consent, leaving

MEMBERS = 40
SHOTS = os.environ.get("SHOTS", "")


def read(ground: Runtime, events: int, name: str = "Autumn at the club") -> int:
    """A campaign to 40 members with so many fetches, begun 30 days ago."""
    now = clock.now()
    began = read_campaign.begun(now)
    with ground.writing() as session:
        list_id = sample.audience(session, ground.secrets, MEMBERS, now)
        campaign_id = read_campaign.campaign(session, list_id, now)
        read_campaign.fill(session, campaign_id, events, began)
        values = {
            "name": name,
            "status": CampaignStatus.SENT,
            "started_at": began,
            "snapshot_at": began,
            "ended_at": now,
            "audience": MEMBERS,
        }
        session.execute(update(Campaign).where(Campaign.id == campaign_id).values(**values))
    return campaign_id


def words(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True)))


def test_made_up_reading_adds_up_like_a_drains(ground: Runtime) -> None:
    """Else benchmarks and pictures of this page would show what no drain writes."""
    campaign_id = read(ground, 1_000)
    with ground.reading() as session:
        counters, events = recount.from_counters(session, campaign_id), recount.from_events(session, campaign_id)
        assert counters["openers"] == events["openers"] and +counters["engagement"] == events["engagement"]
        assert +counters["hours"] == events["hours"]


def test_nothing_one_and_many_fetches_are_told(ground: Runtime, admin: Any) -> None:
    nothing, one, many = read(ground, 0), read(ground, 1), read(ground, 1_000)

    page = words(admin.get(f"/campaigns/{nothing}"))
    assert "Nobody has opened or clicked yet" in page and "Read with" not in page
    assert admin.get(f"/campaigns/{one}").status_code == 200
    page = words(admin.get(f"/campaigns/{many}"))
    for part in ("Read with", "Apple Mail", "Read on", "Phone", "Recipient domains", "How machines were told"):
        assert part in page
    assert re.search(r"dest\d+\.example \d", page)
    assert "Countries" not in page
    assert "Beside the last five" not in words(admin.get(f"/campaigns/{nothing}"))


def test_the_last_five_stand_beside_it(ground: Runtime, admin: Any) -> None:
    numbers = [read(ground, 60, f"Mail {at}") for at in range(7)]
    with ground.writing() as session:
        for at, campaign_id in enumerate(numbers):
            started = clock.now() - timedelta(days=40 - at)
            session.execute(update(Campaign).where(Campaign.id == campaign_id).values(started_at=started))

    page = words(admin.get(f"/campaigns/{numbers[-1]}"))
    assert [name in page for name in ("Mail 0", "Mail 1", "Mail 5")] == [False, True, True]
    assert "points against the last five" in page


@pytest.mark.parametrize("span", ["48h", "hours", "days"])
def test_time_is_shown_as_chosen_and_adds_up(ground: Runtime, admin: Any, span: str) -> None:
    campaign_id = read(ground, 400)
    answer = admin.get(f"/campaigns/{campaign_id}?span={span}")

    assert answer.status_code == 200 and 'aria-current="true"' in answer.get_data(as_text=True)
    assert admin.get(f"/campaigns/{campaign_id}?span=weeks").status_code == 404


def test_who_left_through_the_mail_is_told_by_reason(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 10)
    with ground.writing() as session:
        for at, reason in enumerate(("unsubscribed", "unsubscribed", "complaint")):
            session.add(Suppression(address_key=bytes([at] * 16), reason=reason, campaign_id=campaign_id, created_at=clock.now()))

    page = words(admin.get(f"/campaigns/{campaign_id}"))
    assert re.search(r"Who left through this mail Reported as spam 1 Unsubscribed 2", page)


def test_why_members_left_is_told_in_the_report_and_on_their_page(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 1)
    with ground.writing() as session:
        member_id = session.execute(select(Member.id).limit(1)).scalar_one()
        consent.leave_all(session, member_id, source=ConsentSource.PAGE, campaign_id=campaign_id, now=clock.now())
        no = leaving.last_no(session, session.get_one(Member, member_id), campaign_id)
        assert no is not None
        leaving.tell(session, no, "too_many", "Three <a> day", now=clock.now())

    report = admin.get(f"/campaigns/{campaign_id}").get_data(as_text=True)
    member = admin.get(f"/audience/members/{member_id}").get_data(as_text=True)

    assert "Reasons they gave" in report
    for page in (report, member):
        assert "Too many mails" in page
        assert "“Three &lt;a&gt; day”" in page


def test_the_technical_tab_names_rules_and_what_is_recorded(ground: Runtime, admin: Any) -> None:
    page = words(admin.get(f"/campaigns/{read(ground, 200)}/technical"))

    assert "apple_relay/1" in page and "Apple’s privacy relay" in page
    assert "Nothing: every mail that was tried was taken." in page and "Recorded for the member" in page


def test_recipients_are_found_by_what_they_did_and_by_name(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 30)
    opened = words(admin.get(f"/campaigns/{campaign_id}/recipients-report?show=opened"))
    others = words(admin.get(f"/campaigns/{campaign_id}/recipients-report?show=not_opened"))

    everybody = {f"member{at}@" for at in range(1, MEMBERS + 1)}
    assert {name for name in everybody if name in opened} ^ {name for name in everybody if name in others} == everybody
    page = words(admin.get(f"/campaigns/{campaign_id}/recipients-report?q=Anna3"))
    assert "member3@dest3.example" in page and "member4@" not in page
    assert "member7@dest7.example" in words(admin.get(f"/campaigns/{campaign_id}/recipients-report?q=member7@dest7.example"))


def test_every_rule_of_today_has_words() -> None:
    rules = {rule.rule for rule in machines.AGENT_RULES if rule.machine} | {
        machines.HEAD,
        machines.EARLY,
        machines.BURST,
        networks.GATEWAY.rule,
    }

    assert {rule for rule in rules if breakdowns.rule_words(rule) == rule} == set()


def test_the_largest_values_are_named_and_the_rest_is_one(ground: Runtime) -> None:
    with ground.writing() as session:
        for at in range(12):
            session.add(Facet(campaign_id=1, aspect=Aspect.DOMAIN, value=f"d{at:02}.example", opens=20 - at, openers=20 - at))
        session.add(Facet(campaign_id=1, aspect=Aspect.DOMAIN, value="machines.example", machines=9))
        session.flush()
        found = facets.ranking(session, 1, Aspect.DOMAIN)

    assert [row.value for row in found.rows] == [f"d{at:02}.example" for at in range(8)]
    assert found.rest is not None and (found.rest.openers, found.rest.machines) == (12 + 11 + 10 + 9, 0)
    assert (found.total.openers, found.total.machines) == (sum(range(9, 21)), 9)


def hours(*moments: datetime) -> list[dict[str, Any]]:
    return [{"hour": moment, "opens": {"unique": 1}, "clicks": {"unique": 0}} for moment in moments]


def test_days_are_the_readers_own_over_midnight_and_a_change_of_clocks() -> None:
    tokyo, berlin = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 24, 14, 30, tzinfo=UTC)
    evening, night = datetime(2026, 10, 24, 14, tzinfo=UTC), datetime(2026, 10, 24, 15, tzinfo=UTC)
    assert report_curves.curve(start, hours(evening, night), "days", tokyo).opens == [1, 1]
    assert report_curves.curve(start, hours(evening, night), "days", berlin).opens == [2, 0]

    # 25 October has 25 hours in Berlin: the repeated one stands there twice by hour, and in one day by day.
    repeated = [datetime(2026, 10, 25, hour, tzinfo=UTC) for hour in (0, 1, 2)]
    by_hour = report_curves.curve(start, hours(*repeated), "hours", berlin)
    assert sum(by_hour.opens) == 3 and len(by_hour.labels) == len(by_hour.opens) == 13
    assert report_curves.curve(start, hours(*repeated), "days", berlin).opens == [0, 3]


def test_a_long_life_is_cut_and_says_so() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    late = hours(start, start + timedelta(days=500))
    assert report_curves.curve(start, late, "days", UTC).is_cut and report_curves.curve(start, late, "hours", UTC).is_cut
    assert not report_curves.curve(start, late, "48h", UTC).is_cut


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("width", "scheme", "language"),
    [
        (390, "light", "ja"),
        pytest.param(1280, "light", "en", marks=pytest.mark.slow),
        pytest.param(1280, "dark", "ja", marks=pytest.mark.slow),
        pytest.param(390, "dark", "en", marks=pytest.mark.slow),
    ],
)
def test_reports_of_every_size_are_open_to_everybody(
    ground: Runtime, address: str, new_page: Callable[..., Any], axe: Callable[..., Any], width: int, scheme: str, language: str
) -> None:
    numbers = {size: read(ground, size) for size in (0, 1, 37, 5_000)}
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    sign_in(page, address, language)
    for size, campaign_id in numbers.items():
        for tab in ("", "/links", "/recipients-report", "/technical") if size == 5_000 else ("",):
            page.goto(f"{address}/campaigns/{campaign_id}{tab}")
            assert axe(page) == [], (size, tab)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (size, tab)
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/report-{size}{tab.replace('/', '-')}-{width}-{scheme}-{language}.png", full_page=True)
    page.emulate_media(media="print")
    page.goto(f"{address}/campaigns/{numbers[5_000]}")
    assert page.locator(".rail").is_hidden() and page.locator(".chart.broad").first.is_visible()
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/report-print-{width}-{scheme}-{language}.png", full_page=True)

"""Over campaigns: columns, sorting, comparison, trend, the best hour with its doubt, and the audience behind them."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement
from kairan.models.suppression import Suppression
from kairan.runtime import Runtime
from mailer.campaigns import jobs
from mailer.reports import audience_figures, best_hour, final_counts, over, tallies
from mailer.reports import jobs as report_jobs
from mailer.reports.over import CampaignResult, Choice
from tests.web.test_browser import _sign_in as sign_in
from tests.web.test_report_pages import read, words

SHOTS = os.environ.get("SHOTS", "")


def started(ground: Runtime, campaign_id: int, at: datetime) -> None:
    with ground.writing() as session:
        session.execute(update(Campaign).where(Campaign.id == campaign_id).values(started_at=at))


def test_nothing_was_sent_yet(admin: Any) -> None:
    assert "Nothing was sent yet" in words(admin.get("/reports"))
    assert "No members yet" in words(admin.get("/reports/audience"))
    assert "Choose at least two campaigns" in words(admin.get("/reports/compare"))


def test_columns_and_order_are_the_readers_choice(ground: Runtime, admin: Any) -> None:
    read(ground, 40, "Few")
    read(ground, 400, "Many")

    page = words(admin.get("/reports?column=opens&sort=opens"))
    assert (
        page.index("Few") < page.index("Many")
        and "Opens by people, every time" in page
        and "Unsubscribed" not in page.split("Trend")[0].split("Campaign ")[-1]
    )
    page = words(admin.get("/reports?column=opens&column=clicks&sort=-opens"))
    assert page.index("Many") < page.index("Few")
    raw = admin.get("/reports?column=opens&column=clicks&sort=-opens").get_data(as_text=True)
    assert "column=opens&amp;column=clicks&amp;sort=opens" in raw
    assert admin.get("/reports?column=password&sort=nothing&since=yesterday&page=x").status_code == 200


def test_dates_and_lists_narrow_the_choice(ground: Runtime, admin: Any) -> None:
    old, new = read(ground, 40, "Old one"), read(ground, 40, "New one")
    started(ground, old, datetime(2026, 3, 1, tzinfo=UTC))
    started(ground, new, datetime(2026, 9, 1, tzinfo=UTC))

    page = words(admin.get("/reports?since=2026-08-01&until=2026-09-01"))
    assert "New one" in page and "Old one" not in page
    assert "Nothing was sent yet" in words(admin.get("/reports?list=99"))


def test_a_few_are_compared_side_by_side(ground: Runtime, admin: Any) -> None:
    numbers = [read(ground, 100 * size, f"Mail {size}") for size in (1, 2, 3)]

    page = words(admin.get("/reports/compare?" + "&".join(f"id={number}" for number in numbers)))
    assert all(f"Mail {size}" in page for size in (1, 2, 3)) and "Clicked, of those who opened" in page
    assert admin.get(f"/reports/compare?id={numbers[0]}&id=999").status_code == 200


def result(hour: int, rate: float, accepted: int = 1_000) -> CampaignResult:
    at = datetime(2026, 11, 2, hour, tzinfo=UTC)
    return CampaignResult(1, "x", at, accepted, accepted, 0, 0, round(rate * accepted), 0, 0, 0, 0, 0, 0)


def test_the_best_hour_claims_no_more_than_the_data(ground: Runtime) -> None:
    few = [result(9, 0.3), result(9, 0.31), result(10, 0.2)]
    assert best_hour.find(few, UTC).best is None

    overlapping = [result(9, rate) for rate in (0.2, 0.3, 0.4)] + [result(18, rate) for rate in (0.25, 0.3, 0.41)]
    found = best_hour.find(overlapping, UTC)
    assert found.best is not None and found.best.hour == 18 and not found.is_clear

    apart = [result(9, rate) for rate in (0.20, 0.21, 0.22)] + [result(18, rate) for rate in (0.40, 0.41, 0.42)]
    found = best_hour.find(apart, UTC)
    assert found.is_clear and found.best is not None
    # the mean of three, 4.303 standard errors to each side
    assert (round(found.best.low, 4), round(found.best.high, 4)) == (0.3852, 0.4348)


def test_small_campaigns_say_nothing_about_hours() -> None:
    assert best_hour.find([result(9, 0.5, accepted=10)] * 5, UTC).campaigns == 0


def test_states_are_kept_when_all_have_ended_and_not_before(ground: Runtime) -> None:
    campaign_id = read(ground, 10)
    with ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 1).values(state=State.UNCERTAIN))
    jobs.housekeeping(ground)
    with ground.reading() as session:
        assert final_counts.of(session, campaign_id) is None

    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED))
        tallies.forget(session, campaign_id)
    jobs.housekeeping(ground)
    with ground.reading() as session:
        assert final_counts.of(session, campaign_id) == {**dict.fromkeys((state.name.lower() for state in State), 0), "accepted": 40}
        rows = over.results(session, over.chosen(session, Choice()))
    assert [(row.accepted, row.audience) for row in rows] == [(40, 40)]


def test_who_still_reads_is_told_by_people_alone(ground: Runtime) -> None:
    now = clock.now()
    campaign_ids = [read(ground, 0, f"Mail {at}") for at in range(3)]
    ago = {1: 10, 2: 120, 3: 300}
    with ground.writing() as session:
        session.execute(update(Member).values(created_at=now - timedelta(days=400)))
        for member, days in ago.items():
            acted = now - timedelta(days=days)
            session.add(
                Engagement(campaign_id=campaign_ids[0], number=member, member_id=member, opens=1, first_open_at=acted, last_at=acted)
            )
        session.add(Engagement(campaign_id=campaign_ids[0], number=4, member_id=4, machine_opens=9, last_at=now))
        session.execute(update(Member).where(Member.id == 5).values(recording="aggregate"))
        key = session.get_one(Member, 6).address_key
        session.add(Suppression(address_key=key, reason="unsubscribed", member_id=6, created_at=now))
    with ground.reading() as session:
        assert audience_figures.groups(session, now) == {"active": 1, "cooling": 1, "asleep": 36, "new": 0, "unknown": 1}
        growth = audience_figures.growth(session, now)
        cohorts = audience_figures.cohorts(session, now)
    assert (growth[-1]["left"], growth[-1]["members"]) == (1, 40)
    assert cohorts == []


def test_months_of_joining_show_who_went_on_reading(ground: Runtime) -> None:
    read(ground, 0)
    now = datetime(2026, 11, 20, tzinfo=UTC)
    with ground.writing() as session:
        session.execute(update(Member).values(created_at=datetime(2026, 9, 30, 23, 59, tzinfo=UTC)))
        for member, at in (
            (1, datetime(2026, 10, 1, tzinfo=UTC)),
            (2, datetime(2026, 11, 5, tzinfo=UTC)),
            (3, datetime(2026, 11, 6, tzinfo=UTC)),
        ):
            session.add(Engagement(campaign_id=1, number=member, member_id=member, opens=1, first_open_at=at, last_at=at))
    with ground.reading() as session:
        assert audience_figures.cohorts(session, now) == [{"month": "2026-09", "members": 40, "readers": [0, 1, 2]}]


def test_a_large_audience_is_counted_in_the_background(ground: Runtime, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read(ground, 100)
    monkeypatch.setattr(audience_figures, "SMALL", 10)
    assert "Being counted" in words(admin.get("/reports/audience"))

    report_jobs.count_audience()
    page = words(admin.get("/reports/audience"))
    assert "Who still reads" in page and "Counted" in page and "By month of joining" in page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("width", "scheme", "language"),
    [(390, "light", "ja"), *(pytest.param(*look, marks=pytest.mark.slow) for look in ((1280, "light", "en"), (1280, "dark", "ja")))],
)
def test_reports_over_campaigns_are_open_to_everybody(
    ground: Runtime, address: str, new_page: Callable[..., Any], axe: Callable[..., Any], width: int, scheme: str, language: str
) -> None:
    for at in range(9):
        started(ground, read(ground, 60 * (at + 1), f"Club news {at}"), clock.now() - timedelta(days=30 - at, hours=at % 2))
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    sign_in(page, address, language)
    for name, path in (("all", "/reports"), ("compare", "/reports/compare?id=1&id=2&id=3&id=4"), ("audience", "/reports/audience")):
        page.goto(address + path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/over-{name}-{width}-{scheme}-{language}.png", full_page=True)

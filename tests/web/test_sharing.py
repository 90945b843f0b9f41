"""Reports leave the house by a link without personal data, and by mail to people who asked for them."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

from kairan import clock, i18n
from kairan.models.accounts import Account
from kairan.models.campaigns import Campaign
from kairan.models.outbox import OutboxMail
from kairan.models.reports import ReportLink, ReportMail
from kairan.runtime import Runtime
from mailer.reports import public_links, report_mail
from tests.web.test_browser import _sign_in as sign_in
from tests.web.test_report_pages import read, words

SHOTS = os.environ.get("SHOTS", "")


def made(admin: Any, campaign_id: int, **form: str) -> str:
    """The path of a new link."""
    page = admin.post(f"/campaigns/{campaign_id}/sharing/link", form).get_data(as_text=True)
    found = re.search(r"/r/[\w-]{32}", page)
    assert found is not None
    return found.group()


def test_whoever_has_the_link_sees_figures_and_nobody_in_them(ground: Runtime, admin: Any, visitor: Any) -> None:
    path = made(admin, read(ground, 400))
    answer = visitor.get(path)
    page = words(answer)

    assert answer.status_code == 200 and "75.0" in page and "Story 1 of this month" in page and "Apple Mail" in page
    assert "@" not in page.replace("hello@example.org", "") and "dest" not in page and "Anna" not in page
    assert (
        answer.headers["X-Robots-Tag"] == "noindex" and answer.headers["Cache-Control"] == "no-store" and "Set-Cookie" not in answer.headers
    )
    assert path not in admin.get("/campaigns/1/sharing").get_data(as_text=True)
    assert "開封" in visitor.get(path, headers={"Accept-Language": "ja"}).get_data(as_text=True)


def test_a_link_that_was_ended_or_is_over_answers_as_one_that_never_was(ground: Runtime, admin: Any, visitor: Any) -> None:
    campaign_id = read(ground, 10)
    ended, over = made(admin, campaign_id), made(admin, campaign_id, until="2099-01-01")
    assert visitor.get(ended).status_code == visitor.get(over).status_code == 200
    assert admin.post(f"/campaigns/{campaign_id}/sharing/link/1/end").status_code == 303
    with ground.writing() as session:
        session.execute(update(ReportLink).values(ends_at=clock.now()))
    nothing = visitor.get("/r/" + "x" * 32)
    for path in (ended, over):
        answer = visitor.get(path)
        assert (answer.status_code, answer.data) == (404, nothing.data)


def test_an_end_in_the_past_is_refused_and_who_only_looks_shares_nothing(
    ground: Runtime, admin: Any, signed_in: Callable[[str], Any]
) -> None:
    campaign_id = read(ground, 10)
    assert "This day is over." in words(admin.post(f"/campaigns/{campaign_id}/sharing/link", {"until": "2020-01-01"}))
    assert "Choose a date." in words(admin.post(f"/campaigns/{campaign_id}/sharing/link", {"until": "soon"}))
    analyst = signed_in("analyst")
    assert analyst.get(f"/campaigns/{campaign_id}/sharing").status_code == 200
    assert analyst.post(f"/campaigns/{campaign_id}/sharing/link").status_code == 403


def test_there_is_an_end_to_links(ground: Runtime) -> None:
    campaign_id = read(ground, 0)
    with ground.writing() as session:
        for _ in range(public_links.LINKS_MAX):
            public_links.make(session, campaign_id, by=None, ends_at=None, now=clock.now())
        with pytest.raises(public_links.TooMany):
            public_links.make(session, campaign_id, by=None, ends_at=None, now=clock.now())


# ---- by mail


def mails(ground: Runtime) -> list[Any]:
    with ground.reading() as session:
        rows = session.scalars(select(OutboxMail).where(OutboxMail.kind == "report").order_by(OutboxMail.id)).all()
    return [message_from_bytes(row.message, policy=policy.default) for row in rows]


def put(ground: Runtime, now: datetime) -> int:
    with ground.writing() as session:
        return report_mail.put_due(session, "https://mail.example.org", now)


def test_a_campaigns_report_comes_once_in_the_persons_language(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 400, "Autumn <b>sale</b>")
    with ground.writing() as session:
        session.execute(update(Account).where(Account.role == "admin").values(language="ja"))
        session.execute(update(Campaign).values(started_at=clock.now() - timedelta(hours=25)))
    admin.post(f"/campaigns/{campaign_id}/sharing/mail", {"hours": ["24", "168", "9", "x"]})

    now = clock.now()
    assert [put(ground, now), put(ground, now), put(ground, now + timedelta(days=8))] == [1, 0, 1]
    first = mails(ground)[0]
    html, text = first.get_body(("html",)).get_content(), first.get_body(("plain",)).get_content()
    assert "Autumn <b>sale</b>" in first["Subject"] and "&lt;b&gt;sale" in html and "<b>sale" not in html
    assert "75.0 %" in text and "75.0 %" in html and "開封・プレビュー" in text
    assert f"https://mail.example.org/campaigns/{campaign_id}" in text and "member1@" not in first.as_string()
    assert first["Auto-Submitted"] == "auto-generated"


def test_the_chart_is_a_picture_inside_the_mail(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 4_000)
    admin.post(f"/campaigns/{campaign_id}/sharing/mail", {"hours": ["24"]})
    put(ground, clock.now())
    picture = next(part for part in mails(ground)[0].walk() if part.get_content_type() == "image/png")
    assert picture["Content-ID"] == "<chart>" and picture.get_content_disposition() == "inline"
    with Image.open(BytesIO(picture.get_content())) as image:
        assert image.size == (1200, 440) and len(image.convert("RGB").getcolors(100_000)) > 3
    assert "cid:chart" in mails(ground)[0].get_body(("html",)).get_content()


def test_every_week_and_month_the_campaigns_of_that_time(ground: Runtime, admin: Any) -> None:
    for at in range(3):
        read(ground, 100, f"Mail {at}")
    with ground.writing() as session:
        session.execute(update(Campaign).values(started_at=clock.now() - timedelta(days=2)))
    admin.post("/reports/by-mail", {"every": ["week", "month"]})
    with ground.writing() as session:
        session.execute(update(ReportMail).values(next_at=clock.now() - timedelta(seconds=1)))
    assert put(ground, clock.now()) == 2
    assert all(f"Mail {at}" in mails(ground)[0].get_body(("plain",)).get_content() for at in range(3))
    with ground.reading() as session:
        assert all(row.next_at is not None and row.next_at > clock.now() for row in session.scalars(select(ReportMail)))

    admin.post("/reports/by-mail", {})
    with ground.reading() as session:
        assert session.scalars(select(ReportMail)).all() == []


@pytest.mark.parametrize(
    ("every", "zone", "now", "then"),
    [
        ("week", "Asia/Tokyo", datetime(2026, 11, 22, 22, 30, tzinfo=UTC), datetime(2026, 11, 29, 23, tzinfo=UTC)),  # Monday 07:30 there
        (
            "week",
            "Europe/Berlin",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            datetime(2026, 10, 26, 7, tzinfo=UTC),
        ),  # after the clocks went back
        ("month", "UTC", datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, 8, tzinfo=UTC)),
    ],
)
def test_it_comes_at_eight_by_the_persons_clock(every: str, zone: str, now: datetime, then: datetime) -> None:
    assert report_mail.next_time(every, now, zone) == then


def test_who_may_see_no_reports_any_more_gets_none(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 10)
    admin.post(f"/campaigns/{campaign_id}/sharing/mail", {"hours": ["24"]})
    with ground.writing() as session:
        session.execute(update(Account).values(disabled_at=clock.now()))
    assert put(ground, clock.now()) == 0


def test_a_report_asked_for_before_the_start_waits_for_it(ground: Runtime, admin: Any) -> None:
    campaign_id = read(ground, 10)
    with ground.writing() as session:
        session.execute(update(Campaign).values(started_at=None))
    admin.post(f"/campaigns/{campaign_id}/sharing/mail", {"hours": ["24"]})
    assert put(ground, clock.now() + timedelta(days=3)) == 0
    with ground.writing() as session:
        session.execute(update(Campaign).values(started_at=clock.now()))
    assert [put(ground, clock.now()), put(ground, clock.now() + timedelta(hours=25))] == [0, 1]
    assert i18n.LANGUAGES


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "light", "ja"), pytest.param(1280, "dark", "en", marks=pytest.mark.slow)])
def test_shared_pages_are_open_to_everybody(
    ground: Runtime, admin: Any, address: str, new_page: Callable[..., Any], axe: Callable[..., Any], width: int, scheme: str, language: str
) -> None:
    path = made(admin, read(ground, 900))
    page = new_page(locale="ja-JP" if language == "ja" else "en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    pages = {"public": path, "sharing": "/campaigns/1/sharing", "by-mail": "/reports/by-mail"}
    for name, where in pages.items():
        if name == "sharing":
            sign_in(page, address, language)
        page.goto(address + where)
        assert axe(page) == [], where
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/share-{name}-{width}-{scheme}-{language}.png", full_page=True)
    admin.post("/campaigns/1/sharing/mail", {"hours": ["24"]})
    put(ground, clock.now())
    html = mails(ground)[0].get_body(("html",)).get_content()
    picture = next(part for part in mails(ground)[0].walk() if part.get_content_type() == "image/png")
    if SHOTS:
        import base64

        page = new_page(viewport={"width": width, "height": 900})
        page.set_content(html.replace("cid:chart", "data:image/png;base64," + base64.b64encode(picture.get_content()).decode()))
        page.screenshot(path=f"{SHOTS}/share-mail-{width}-{scheme}-{language}.png", full_page=True)

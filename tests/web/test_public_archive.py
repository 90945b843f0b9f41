"""`/archive/LIST` and its feed: open to everybody where a list says so, and nothing of any member in them."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kairan import clock, installation
from kairan.models.audience import List
from kairan.models.audit import AuditRow
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime
from mailer.app import create_public_app
from mailer.audience import lists
from mailer.campaigns import lifecycle, public_archive
from mailer.campaigns.lifecycle import Reach
from mailer.campaigns.revisions import Content
from mailer.compose import starters
from tests.support import ground as make
from tests.web.test_browser import _sign_in as sign_in

SHOTS = os.environ.get("SHOTS", "")
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MAIL = """<h1>Hello {{ member.first_name | default: 'reader' }}</h1><p>{{ member.email }}</p>
<p><a href="https://shop.example/more?m={{ member.email }}">Read more</a></p>
<p><a href="{{ unsubscribe_url }}">Stop these mails</a> <a href="{{ view_url }}">In the browser</a></p>"""
HOSTILE = "<script>alert(1)</script>]]>&amp;\x01\x0b\x1b\u202e\ufffe ‘“\"'"


@pytest.fixture
def news(ground: Runtime, admin: Any) -> int:
    """A list with an archive at /archive/club-news."""
    with ground.writing() as session:
        row = make.make_list(session, "Club news", now=NOW)
        make.make_members(session, 2, row)
        lists.change(session, row.id, now=NOW, public_archive=True, slug="club-news", description="Once a month, what the club does")
        return row.id


def sent(ground: Runtime, list_id: int, subject: str = "Autumn", at: datetime = NOW, **content: str) -> int:
    said = Content(**{"from_email": "news@example.org", "content": MAIL, "preheader": "What is new", "subject": subject, **content})
    with ground.writing() as session:
        campaign = lifecycle.create(session, "Internal name", Reach(lists=(list_id,)), said, now=at)
        campaign.status, campaign.started_at, campaign.ended_at = CampaignStatus.SENT, at, at
        return campaign.id


def text(answer: Any) -> str:
    return str(answer.get_data(as_text=True))


def items(answer: Any) -> list[ElementTree.Element]:
    return ElementTree.fromstring(answer.data).findall("./channel/item")


def said(item: ElementTree.Element, name: str) -> str:
    return item.findtext(name) or ""


# ---- who may see what


def test_everybody_sees_what_was_sent_newest_first_in_their_language(ground: Runtime, news: int, visitor: Any) -> None:
    sent(ground, news, "September mail", NOW - timedelta(days=60))
    sent(ground, news, "November mail")

    answer = visitor.get("/archive/club-news", headers={"Accept-Language": "en"})
    page = text(answer)
    assert page.index("November mail") < page.index("September mail") and "What is new" in page
    assert "Club news" in page and "Once a month, what the club does" in page and "Nov 24, 2026" in page
    assert "Internal name" not in page and "Set-Cookie" not in answer.headers
    assert "script" not in answer.headers["Content-Security-Policy"] and answer.headers["Cache-Control"] == "public, max-age=300"
    japanese = text(visitor.get(f"/archive/{news}", headers={"Accept-Language": "ja"}))
    assert '<html lang="ja">' in japanese and "2026/11/24" in japanese and "RSS フィード" in japanese


def test_a_list_without_an_archive_a_closed_one_and_none_at_all_answer_alike(ground: Runtime, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news)
    with ground.writing() as session:
        closed = make.make_list(session, "Closed").id
    here = sent(ground, closed)
    nothing = visitor.get("/archive/nothing")
    assert nothing.status_code == 404
    wrong = [f"/archive/{closed}", f"/archive/{closed}/{here}", f"/archive/{closed}/{here}/mail", f"/archive/{closed}/feed.xml"]
    wrong += [f"/archive/club-news/{here}", f"/archive/club-news/{here}/mail", "/archive/club-news/99", "/archive/club-news/x"]
    for path in wrong:
        answer = visitor.get(path)
        assert (answer.status_code, answer.data) == (404, nothing.data), path
    big, odd = "9" * 30, "%C2%B2"
    for path in (big, odd, "%00", f"club-news/{big}", f"club-news/{big}/mail", f"{big}/feed.xml", "a%0d%0ab", "..%2f..", "club-news%00"):
        assert visitor.get(f"/archive/{path}").status_code == 404, path
    for after in (big, odd, "%00", "-1"):
        assert visitor.get(f"/archive/club-news?after={after}").status_code == 200, after
    assert visitor.get(f"/archive/club-news/{campaign_id}").status_code == 200
    with ground.writing() as session:
        lists.change(session, news, now=NOW, public_archive=False)
    for path in ("/archive/club-news", f"/archive/club-news/{campaign_id}", "/archive/club-news/feed.xml"):
        assert visitor.get(path).status_code == 404


def test_a_campaign_taken_out_is_gone_from_page_mail_and_feed(ground: Runtime, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news, "Taken out")
    with ground.writing() as session:
        public_archive.put(session.get_one(Campaign, campaign_id), False, now=NOW)

    assert visitor.get(f"/archive/club-news/{campaign_id}").status_code == 404
    assert visitor.get(f"/archive/club-news/{campaign_id}/mail").status_code == 404
    assert "Taken out" not in text(visitor.get("/archive/club-news")) + text(visitor.get("/archive/club-news/feed.xml"))


def test_an_archive_without_mails_says_so_and_old_ones_are_on_later_pages(ground: Runtime, news: int, visitor: Any) -> None:
    english = {"Accept-Language": "en"}
    assert "Nothing was sent yet." in text(visitor.get("/archive/club-news", headers=english))
    for number in range(45):
        sent(ground, news, f"Mail {number:02}.", NOW + timedelta(hours=number))

    path, seen = "/archive/club-news", []
    while path:
        page = text(visitor.get(path, headers=english))
        seen.append(re.findall(r"Mail \d\d\.", page))
        after = re.search(r'rel="next" href="([^"]+)"', page)
        path = after[1] if after else ""
    assert [len(found) for found in seen] == [20, 20, 5]
    assert [found for page in seen for found in page] == [f"Mail {number:02}." for number in reversed(range(45))]
    assert "There are no older mails." in text(visitor.get("/archive/club-news?after=1", headers=english))
    assert visitor.get("/archive/club-news?after=nothing").status_code == 200


def test_the_role_that_serves_members_alone_serves_it_too(ground: Runtime, news: int) -> None:
    sent(ground, news)
    public = create_public_app(ground).test_client()
    assert [public.get(path).status_code for path in ("/archive/club-news", "/archive/club-news/feed.xml", "/campaigns")] == [200, 200, 404]


def test_search_engines_are_kept_out_only_where_the_installation_says_so(ground: Runtime, admin: Any, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news)
    paths = (
        "/archive/club-news",
        f"/archive/club-news/{campaign_id}",
        f"/archive/club-news/{campaign_id}/mail",
        "/archive/club-news/feed.xml",
    )
    for path in paths:
        answer = visitor.get(path)
        assert "noindex" not in text(answer) and "X-Robots-Tag" not in answer.headers, path
    form = {"name": "Aoba", "address": "1-2-3", "contact": "a@example.org", "language": "en", "time_zone": "UTC", "archive_noindex": "yes"}
    assert admin.post("/settings", form).status_code == 303

    for path in paths:
        assert visitor.get(path).headers["X-Robots-Tag"] == "noindex", path
    assert '<meta name="robots" content="noindex">' in text(visitor.get(paths[0]))
    assert 'value="yes" checked' in text(admin.get("/settings"))


# ---- the mail


def test_the_mail_is_as_for_somebody_who_is_no_member(ground: Runtime, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news, "Dear {{ member.first_name | default: 'reader' }}")
    page = text(visitor.get(f"/archive/club-news/{campaign_id}", headers={"Accept-Language": "en"}))
    frame = visitor.get(f"/archive/club-news/{campaign_id}/mail")
    mail = text(frame)

    assert "<h1>Dear reader</h1>" in page and 'href="/archive/club-news"' in page and "sandbox=" in page
    assert "Hello reader" in mail and 'href="https://shop.example/more?m="' in mail and "Stop these mails" in mail
    policy = frame.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups") and "allow-scripts" not in policy and "allow-same-origin" not in policy


@pytest.mark.parametrize("start", starters.STARTS)
def test_every_starter_can_be_read_in_the_archive(ground: Runtime, news: int, visitor: Any, start: str) -> None:
    begun = starters.start(start, "Aoba Club")
    campaign_id = sent(ground, news, begun.subject or "Hello", kind=begun.kind, content=begun.content)
    answer = visitor.get(f"/archive/club-news/{campaign_id}/mail")
    assert answer.status_code == 200 and not CARRIES.search(text(answer))


CARRIES = re.compile(
    r"/(?:u|p|v|c|o|r)/|\{\{|\{%|[\w.+-]+@members\.example|[A-Za-z0-9][A-Za-z0-9_-]{35}(?![A-Za-z0-9_-]*\.(?:css|png|jpg|gif))"
)
"""our own addresses of members, the merge language, a member's address, and whatever is as long as a token"""


def test_nothing_of_a_campaign_that_really_went_out_leads_to_a_member(ground: Runtime, news: int, visitor: Any) -> None:
    with ground.writing() as session:
        campaign_id = make.make_campaign(session, session.get_one(List, news), html=MAIL).id
    make.start_sending(ground, campaign_id, NOW)
    with ground.writing() as session:
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENT
    for path in ("", f"/{campaign_id}", f"/{campaign_id}/mail", "/feed.xml"):
        answer = visitor.get(f"/archive/club-news{path}")
        assert answer.status_code == 200 and not CARRIES.search(text(answer)), path


WORDS = ["News ", "{{ member.email }}", "{{ member.name }}", "<b>", "]]>", "&", "{% if member.email %}x{% endif %}"]
PIECES = [
    MAIL,
    "<p>{{ unsubscribe_url }}</p>",
    "<p><a href='{{ preferences_url }}'>{{ preferences_url }}</a></p>",
    "<p><img src='https://shop.example/a.png?m={{ member.email }}' alt='{{ member.email }}'></p>",
    "{% if member.email contains 'm1' %}<p>secret@members.example</p>{% endif %}",
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    subject=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=5),
    kind=st.sampled_from(["html", "text"]),
)
def test_no_archive_page_carries_a_token_a_beacon_or_a_members_address(
    ground: Runtime, news: int, visitor: Any, subject: list[str], pieces: list[str], kind: str
) -> None:
    campaign_id = sent(ground, news, "".join(subject), preheader="".join(subject), content="".join(pieces), kind=kind)
    for path in ("", f"/{campaign_id}", f"/{campaign_id}/mail", "/feed.xml"):
        answer = visitor.get(f"/archive/club-news{path}")
        assert answer.status_code == 200
        assert not CARRIES.search(text(answer)), path
    ElementTree.fromstring(visitor.get("/archive/club-news/feed.xml").data)


# ---- the feed


def test_the_feed_is_rss_with_absolute_links_and_a_lasting_id(ground: Runtime, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news, "Autumn & winter")
    answer = visitor.get("/archive/club-news/feed.xml")
    channel = ElementTree.fromstring(answer.data).find("channel")
    (item,) = items(answer)
    origin = ground.settings.base_url

    assert answer.headers["Content-Type"] == "application/rss+xml; charset=utf-8" and channel is not None
    assert (channel.findtext("title"), channel.findtext("link")) == ("Club news", f"{origin}/archive/club-news")
    assert channel.findtext("description") == "Once a month, what the club does" and channel.findtext("language") == "en"
    own = channel.find("{http://www.w3.org/2005/Atom}link")
    assert own is not None and own.get("href") == f"{origin}/archive/club-news/feed.xml"
    assert (said(item, "title"), said(item, "description")) == ("Autumn & winter", "What is new")
    assert parsedate_to_datetime(said(item, "pubDate")) == NOW
    assert said(item, "link") == f"{origin}/archive/club-news/{campaign_id}" and visitor.get(said(item, "link")).status_code == 200
    with ground.writing() as session:
        lists.change(session, news, now=NOW, slug="another", name="Another name")
    (again,) = items(visitor.get("/archive/another/feed.xml"))
    assert said(again, "guid") == said(item, "guid") and visitor.get(said(item, "guid")).status_code == 200
    assert 'rel="alternate" type="application/rss+xml"' in text(visitor.get("/archive/another"))


def test_a_feed_that_did_not_change_is_not_sent_again(ground: Runtime, news: int, visitor: Any) -> None:
    campaign_id = sent(ground, news)
    path = "/archive/club-news/feed.xml"
    first = visitor.get(path)
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    assert parsedate_to_datetime(modified) == NOW
    for name, value in (("If-None-Match", tag), ("If-Modified-Since", modified)):
        same = visitor.get(path, headers={name: value})
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)

    with ground.writing() as session:
        public_archive.put(session.get_one(Campaign, campaign_id), False, now=NOW + timedelta(minutes=1))
    for name, value in (("If-None-Match", tag), ("If-Modified-Since", modified)):
        assert visitor.get(path, headers={name: value}).status_code == 200
    page = visitor.get("/archive/club-news")
    assert visitor.get("/archive/club-news", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304


def test_hostile_names_survive_page_mail_and_feed(ground: Runtime, admin: Any, visitor: Any) -> None:
    hostile = HOSTILE.replace("\x00", "")
    with ground.writing() as session:
        row = make.make_list(session, hostile)
        row.public_archive, row.description = True, hostile
        installation.put(session, "organisation", {"name": hostile, "address": hostile, "contact": hostile}, now=clock.now())
        list_id = row.id
    campaign_id = sent(ground, list_id, hostile, preheader=hostile, content=f"<p>{hostile}</p>")

    for path in ("", f"/{campaign_id}", f"/{campaign_id}/mail"):
        answer = visitor.get(f"/archive/{list_id}{path}")
        assert answer.status_code == 200 and "<script>" not in text(answer), path
    feed = visitor.get(f"/archive/{list_id}/feed.xml")
    (item,) = items(feed)
    assert said(item, "title").startswith("<script>alert(1)</script>]]>&amp;") and "\x01" not in text(feed) and "\ufffe" not in text(feed)
    assert admin.get(f"/audience/lists/{list_id}").status_code == 200


# ---- how it is switched


def test_it_is_off_until_somebody_opens_it_and_what_is_typed_wrong_is_kept(ground: Runtime, admin: Any, visitor: Any) -> None:
    path = admin.post("/audience/lists", {"name": "Shop", "purpose": "News"}).location
    list_id = int(path.rpartition("/")[2])
    assert visitor.get(f"/archive/{list_id}").status_code == 404

    wrong = admin.post(f"{path}/archive", {"public_archive": "yes", "slug": "Shop News"})
    assert wrong.status_code == 422 and 'value="Shop News"' in text(wrong) and "letters a to z" in text(wrong)
    assert visitor.get(f"/archive/{list_id}").status_code == 404
    assert admin.post(f"{path}/archive", {"public_archive": "yes", "slug": "shop"}).status_code == 303
    assert visitor.get("/archive/shop").status_code == 200 and "/archive/shop" in text(admin.get(path))
    other = admin.post("/audience/lists", {"name": "Other", "purpose": "News"}).location
    taken = admin.post(f"{other}/archive", {"public_archive": "yes", "slug": "shop"})
    assert taken.status_code == 422 and "another list" in text(taken)
    assert admin.post(f"{path}/archive", {"slug": ""}).status_code == 303
    assert visitor.get("/archive/shop").status_code == visitor.get(f"/archive/{list_id}").status_code == 404
    with ground.reading() as session:
        acts = [row.action for row in session.query(AuditRow).order_by(AuditRow.id) if row.object_id == list_id]
    assert acts.count("list.change") == 2


def test_who_only_looks_opens_no_archive(news: int, signed_in: Callable[[str], Any]) -> None:
    analyst = signed_in("analyst")
    assert analyst.get(f"/audience/lists/{news}").status_code == 200
    assert analyst.post(f"/audience/lists/{news}/archive", {}).status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(390, "light", "ja"), (390, "dark", "en"), (1440, "light", "en"), (1440, "dark", "ja")]
)
def test_archives_are_open_to_everybody(
    ground: Runtime, news: int, address: str, new_page: Callable[..., Any], axe: Callable[..., Any], width: int, scheme: str, language: str
) -> None:
    begun = starters.start("newsletter", "Aoba Club")
    for number in range(22):
        sent(ground, news, f"The mail of a long month with many things in it, number {number}", NOW - timedelta(days=30 * number))
    last = sent(ground, news, begun.subject, kind=begun.kind, content=begun.content, preheader=begun.preheader, at=NOW + timedelta(days=1))
    with ground.writing() as session:
        empty = make.make_list(session, "Empty")
        empty.public_archive = True
        paths = {"list": "/archive/club-news", "mail": f"/archive/club-news/{last}", "empty": f"/archive/{empty.id}"}
    page = new_page(locale="ja-JP" if language == "ja" else "en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    for name, path in [*paths.items(), ("admin-list", f"/audience/lists/{news}"), ("labels", f"/campaigns/{last}/labels")]:
        if name == "admin-list":
            sign_in(page, address, language)
        page.goto(address + path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/archive-{name}-{width}-{scheme}-{language}.png", full_page=True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_link_in_the_mail_opens_outside_its_frame(ground: Runtime, news: int, address: str, page: Any) -> None:
    campaign_id = sent(ground, news, content=f"<p><a href='{address}/about/tracking'>What is recorded</a></p>")
    page.goto(f"{address}/archive/club-news/{campaign_id}")
    with page.expect_popup() as opened:
        page.frame_locator("iframe").get_by_text("What is recorded").click()
    opened.value.wait_for_url("**/about/tracking")
    page.click("p a >> nth=0")
    page.wait_for_url("**/archive/club-news")

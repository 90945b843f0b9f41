"""The website beacon counts everybody and names nobody but a member who came by their mail and accepted a cookie."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import func, select, update
from werkzeug.serving import make_server

from kairan import clock
from kairan.models.campaigns import Link
from kairan.models.events import Event
from kairan.models.webhooks import MemberVisit, Site, SiteVisits
from kairan.tokens import TOKEN_LENGTH, VISIT_HOURS, TokenError
from mailer.audience import erasure, timeline
from mailer.web.site_beacon import script
from tests.support.installation import wait_for
from tests.tracking.conftest import PERSON, Sent
from tracking import sites, visits

CODE = "code-of-site"


@pytest.fixture
def site(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The links of the campaign lead to a registered site."""
    monkeypatch.setattr(sites, "FRESH_S", 0.0)
    with sent.ground.writing() as session:
        session.add(Site(name="Shop", host="shop.example", code=CODE, created_at=clock.now()))
        session.execute(update(Link).values(url="https://shop.example/spring?a=1#top"))
    sent.endpoint._targets._campaigns.clear()
    return sent


def came(sent: Sent, number: int = 1) -> str:
    """The token that a click on the member's mail brings to the site."""
    address = sent.click(number).headers["Location"]
    assert address.startswith("https://shop.example/spring?a=1&kv=") and address.endswith("#top")
    return address.partition("kv=")[2].partition("#")[0]


def view(sent: Sent, **query: str) -> Any:
    headers = {
        "User-Agent": PERSON,
        **{
            name: query.pop(key)
            for key, name in (("gpc", "Sec-GPC"), ("dnt", "DNT"), ("referer", "Referer"), ("agent", "User-Agent"))
            if key in query
        },
    }
    answer = sent.client.get(f"/b/{CODE}.gif", query_string=query, headers=headers)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store" and "Set-Cookie" not in answer.headers
    return answer


def drained(sent: Sent) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """(page → views, joined), and the members of joined views"""
    while visits.drain(sent.ground.database, sent.redis, clock.now()):
        pass
    with sent.ground.reading() as session:
        pages = {row.path: (row.views, row.known) for row in session.scalars(select(SiteVisits))}
        return pages, list(session.scalars(select(MemberVisit.member_id).order_by(MemberVisit.id)))


def test_a_view_after_a_click_and_an_accepted_cookie_is_the_members(site: Sent) -> None:
    view(site, p="/spring", k=came(site, 2))
    pages, members = drained(site)
    assert pages == {"/spring": (1, 1)} and members == [2]
    with site.ground.reading() as session:
        entry = next(entry for entry in timeline.timeline(session, 2) if entry.kind == "visit")
    assert entry.detail == {"page": "shop.example/spring"} and entry.campaign_id == site.campaign_id


@pytest.mark.parametrize("refusal", [{"gpc": "1"}, {"dnt": "1"}])
def test_a_browser_that_refuses_is_counted_and_nobody(site: Sent, refusal: dict[str, str]) -> None:
    view(site, p="/spring", k=came(site), **refusal)
    assert drained(site) == ({"/spring": (1, 0)}, [])


def test_no_cookie_no_join(site: Sent) -> None:
    came(site)
    view(site, p="/spring")
    view(site, p="/spring", v="0")
    assert drained(site) == ({"/spring": (1, 0)}, [])


def test_what_is_forged_cut_swapped_or_over_joins_nobody(site: Sent) -> None:
    token = came(site)
    tokens = site.ground.secrets.tokens
    over = tokens.visit(site.campaign_id, 1, sites.hour() - VISIT_HOURS)
    for wrong in (
        token[:-1],
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        tokens.trace(site.campaign_id, 1),
        over,
        "x" * TOKEN_LENGTH,
        "é" * 36,
    ):
        view(site, p="/", k=wrong)
    assert drained(site) == ({"/": (6, 0)}, [])
    with pytest.raises(TokenError):
        tokens.read_visit(over, sites.hour())
    assert tokens.read_visit(tokens.visit(7, 8, 100), 100 + VISIT_HOURS - 1) == (7, 8)


@pytest.mark.parametrize("change", [{"recording": "aggregate"}, {"recording": "none"}, {"suspended_at": clock.now()}])
def test_who_chose_otherwise_since_is_not_joined(site: Sent, change: dict[str, Any]) -> None:
    token = came(site)
    site.member(1, **change)
    view(site, p="/", k=token)
    assert drained(site) == ({"/": (1, 0)}, [])


def test_an_erasure_takes_visits_along(site: Sent) -> None:
    token = came(site)
    view(site, p="/", k=token)
    drained(site)
    with site.ground.writing() as session:
        erasure.erase(session, 1, now=clock.now())
    view(site, p="/", k=token)
    assert drained(site) == ({"/": (2, 1)}, [])


def test_other_sites_machines_and_queries_are_not_counted_in(site: Sent) -> None:
    view(site, p="/", referer="https://elsewhere.example/page")
    view(site, p="/", agent="curl/8.14.1")
    view(site, p="/cart?user=ada@example.org#x")
    view(site, referer="https://shop.example/from/referer?q=secret")
    view(site, p="javascript:alert(1)")
    assert drained(site) == ({"/cart": (1, 0), "/from/referer": (1, 0), "/": (1, 0)}, [])
    assert site.client.get("/b/nobody.gif").status_code == 404 and site.client.get("/b/nobody.js").status_code == 404


def test_links_elsewhere_and_mails_without_a_name_carry_nothing(site: Sent) -> None:
    aggregate = site.ground.secrets.tokens.trace(site.campaign_id, 0)
    assert "kv=" not in site.client.get(f"/c/{aggregate}/{site.links['text']}").headers["Location"]
    with site.ground.writing() as session:
        session.execute(update(Link).values(url="https://elsewhere.example/"))
    site.endpoint._targets._campaigns.clear()
    assert site.click().headers["Location"] == "https://elsewhere.example/"


def test_what_two_drains_read_is_counted_once_and_redis_away_costs_the_view_alone(site: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    view(site, p="/")
    with monkeypatch.context() as patched:
        patched.setattr(type(site.redis), "xtrim", lambda *_a, **_k: 0)
        drained_once = drained_first(site)
    assert drained_once == 1 and drained(site)[0] == {"/": (1, 0)}
    site.ground.redis.close()
    monkeypatch.setattr(visits, "note", lambda *_a, **_k: False)
    assert view(site, p="/").status_code == 200


def drained_first(sent: Sent) -> int:
    return visits.drain(sent.ground.database, sent.redis, clock.now())


def test_the_script_is_small() -> None:
    assert len(script()) <= 1_024


@pytest.fixture
def shop() -> Iterator[str]:
    """Pages of the organisation's own, on another origin; the beacon's address is put in by the test."""
    pages = {"tag": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<!doctype html><title>Shop</title><h1>{self.path.partition('?')[0]}</h1>{pages['tag']}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages = pages  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server  # type: ignore[misc]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_a_browser_a_visitor_accepts_reads_on_and_refuses_again(site: Sent, shop: Any, new_page: Callable[..., Any]) -> None:
    server = make_server("127.0.0.1", 0, site.endpoint, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    shop.pages["tag"] = f'<script src="http://127.0.0.1:{server.server_port}/b/{CODE}.js" defer></script>'
    home = f"http://127.0.0.1:{shop.server_port}"
    with site.ground.writing() as session:
        session.execute(update(Site).values(host="127.0.0.1"))
        session.execute(update(Link).values(url=f"{home}/spring"))
    try:
        page = new_page(user_agent=PERSON)
        page.goto(f"http://127.0.0.1:{server.server_port}/c/{site.token(3)}/{site.links['text']}", wait_until="networkidle")
        assert page.url.rstrip("?") == f"{home}/spring"  # the parameter has left the address bar
        wait_for("the first view is counted", lambda: drained(site)[0] == {"/spring": (1, 0)})
        # the parameter is still known to this page, so its own question about cookies may be answered now
        page.evaluate("kairan.accept()")
        wait_for("the visit is joined", lambda: drained(site) == ({"/spring": (1, 1)}, [3]))
        page.goto(f"{home}/next", wait_until="networkidle")
        wait_for("the next page too", lambda: drained(site)[0].get("/next") == (1, 1))
        page.evaluate("kairan.refuse()")
        page.goto(f"{home}/last", wait_until="networkidle")
        wait_for("the last one is nobody's", lambda: drained(site)[0].get("/last") == (1, 0))
        assert page.evaluate("document.cookie") == ""
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    site.drain()
    with site.ground.reading() as session:
        assert session.scalar(select(func.count()).where(Event.kind == 2)) == 1

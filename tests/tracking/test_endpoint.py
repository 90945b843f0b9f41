"""What comes back from a mail reaches the endpoint, and the endpoint answers whatever else is away."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import delete, update
from werkzeug.test import Client

from kairan.database import Database
from kairan.models.audience import Member
from kairan.models.base import Base
from kairan.models.campaigns import Campaign, Link
from kairan.runtime import Runtime
from mailer.app import create_public_app
from mailer.campaigns import compilation
from mailer.compose import compiler
from mailer.reports import click_targets
from tests.tracking.conftest import PERSON, Sent
from tracking import buffer, endpoint
from tracking.targets import location

Wrapped = Callable[[Runtime], endpoint.Endpoint]


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite: what answers here asks the database nothing, or one row."""
    import shutil

    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "kairan.sqlite")
    return f"sqlite:///{tmp_path / 'kairan.sqlite'}"


@pytest.fixture
def wrapped() -> Iterator[Wrapped]:
    """Endpoints of their own, with nothing behind; no buffer outlives its test."""
    made = []

    def make(ground: Runtime) -> endpoint.Endpoint:
        made.append(endpoint.wrap(lambda environ, start: [], ground))
        return made[-1]

    yield make
    for each in made:
        each.buffer.stop()


def test_a_beacon_is_a_transparent_pixel_that_nothing_keeps(sent: Sent) -> None:
    answer = sent.open()

    image = Image.open(io.BytesIO(answer.data))
    assert (answer.status_code, answer.mimetype, image.size, image.convert("RGBA").getpixel((0, 0))[3]) == (200, "image/gif", (1, 1), 0)
    assert len(answer.data) == 43 == answer.content_length
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_click_leads_to_the_links_target(sent: Sent) -> None:
    answer = sent.click()

    assert (answer.status_code, answer.headers["Location"]) == (302, "https://shop.example/autumn")
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert answer.data == b""
    assert "Set-Cookie" not in answer.headers


def test_head_gets_the_headers_alone(sent: Sent) -> None:
    beacon, click = sent.open(method="HEAD"), sent.click(method="HEAD")

    assert (beacon.status_code, beacon.data, beacon.headers["Content-Length"]) == (200, b"", "43")
    assert (click.status_code, click.data, click.headers["Location"]) == (302, b"", "https://shop.example/autumn")


def test_every_wrong_token_or_link_gets_one_answer(sent: Sent) -> None:
    good, act = sent.token(), sent.ground.secrets.tokens.act(1, sent.campaign_id)
    flipped = ("B" if good[0] != "B" else "C") + good[1:]
    paths = [
        f"/o/{flipped}.gif", f"/o/{good[:-1]}.gif", f"/o/{good}", f"/o/{good}.png", f"/o/{act}.gif", f"/o/{good[:-1]}é.gif", "/o/", "/c/",
        f"/c/{flipped}/1", f"/c/{act}/1", f"/c/{good}/999", f"/c/{good}/0", f"/c/{good}/01", f"/c/{good}/1/", f"/c/{good}/-1",
        f"/c/{good}/99999999999", f"/c/{good}/١", f"/c/{good}", f"/c/{good}/1?url=https://elsewhere.example",
    ]  # fmt: skip
    answers = {path: sent.client.get(path) for path in paths[:-1]}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 404)
    assert len({(answer.data, str(answer.headers)) for answer in answers.values()}) == 1
    assert sent.client.get(paths[-1]).headers["Location"] == "https://shop.example/autumn"


def test_each_single_flipped_bit_makes_a_token_worthless(sent: Sent) -> None:
    good = sent.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    for place, letter in enumerate(good):
        for bit in range(6):
            other = alphabet[alphabet.index(letter) ^ (1 << bit)]
            with pytest.raises(ValueError):
                sent.ground.secrets.tokens.read_trace(good[:place] + other + good[place + 1 :])


def test_other_methods_are_not_taken(sent: Sent) -> None:
    assert sent.client.post(f"/o/{sent.token()}.gif").status_code in (404, 405)
    assert sent.client.post(f"/c/{sent.token()}/1").status_code in (404, 405)
    assert sent.drain() == 0


def test_it_answers_while_redis_is_away(sent: Sent, wrapped: Wrapped) -> None:
    away = Runtime(replace(sent.ground.settings, redis_url="unix:///nowhere/v.sock"), sent.ground.secrets, sent.ground.database)
    application = wrapped(away)
    client = Client(application)

    assert client.get(f"/o/{sent.token()}.gif").status_code == 200
    assert client.get(f"/c/{sent.token()}/{sent.links['text']}").status_code == 302
    assert application.buffer.flush() is False


def test_links_that_are_known_work_through_a_restart_without_a_database(sent: Sent, wrapped: Wrapped, tmp_path: Path) -> None:
    sent.click()
    gone = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")  # it has no tables: every question fails
    client = Client(wrapped(Runtime(sent.ground.settings, sent.ground.secrets, gone)))

    answer = client.get(f"/c/{sent.token()}/{sent.links['image']}")

    assert (answer.status_code, answer.headers["Location"]) == (302, "https://shop.example/picture")


def test_a_link_nobody_can_look_up_is_asked_for_again_later_and_counted(sent: Sent, wrapped: Wrapped, tmp_path: Path) -> None:
    gone = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    application = wrapped(Runtime(sent.ground.settings, sent.ground.secrets, gone))

    answer = Client(application).get(f"/c/{sent.token()}/1")
    application.buffer.flush()
    sent.drain()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert sent.dropped() == {"target_unknown": 1}


def test_a_link_with_merge_fields_is_the_members_own(sent: Sent) -> None:
    with sent.ground.writing() as session:
        session.add(
            Link(
                campaign_id=sent.campaign_id,
                number=77,
                revision=1,
                kind="text",
                label="Yours",
                url='https://shop.example/hello?name={{ member.first_name | default: "you" }}&lang=ja',
            )
        )
        session.execute(update(Member).where(Member.id == 1).values(first_name="桜 & \r\nSet-Cookie: x"))

    answer, anonymous = sent.click(link=77), sent.click(number=0, link=77)

    assert answer.headers["Location"] == "https://shop.example/hello?name=%E6%A1%9C%20%26%20%0ASet-Cookie%3A%20x&lang=ja"
    assert anonymous.headers["Location"] == "https://shop.example/hello?name=you&lang=ja"
    with sent.ground.reading() as session:
        assert click_targets.resolve(session, sent.campaign_id, 1, "https://shop.example/{{ member.gone }}") is None


def test_a_flood_of_one_token_is_answered_and_counted(sent: Sent) -> None:
    for _part in range(4):
        answers = {sent.open(1).status_code for _ in range(100)}
        sent.endpoint.buffer.flush()
    sent.open(2)
    sent.drain()

    assert answers == {200}
    assert sum(sent.dropped().values()) + len(sent.events()) == 401
    assert sent.dropped()["token_flood"] == 200
    assert {event.number for event in sent.events()} == {1, 2}


def test_links_carry_what_the_campaign_wants_to_be_known_by(sent: Sent) -> None:
    own, merged = "https://a.example/?utm_source=me#x", "https://a.example/{{ member.first_name }}"
    with sent.ground.writing() as session:
        for number, url in ((78, own), (79, merged)):
            session.add(Link(campaign_id=sent.campaign_id, number=number, revision=1, kind="text", label="Story", url=url))
        session.execute(update(Campaign).values(utm={"source": "news letter", "medium": "mail"}))

    assert sent.click().headers["Location"] == "https://shop.example/autumn?utm_source=news%20letter&utm_medium=mail"
    assert sent.click(link=78).headers["Location"] == "https://a.example/?utm_source=me&utm_medium=mail#x"
    assert sent.click(link=79).headers["Location"] == "https://a.example/Name1?utm_source=news%20letter&utm_medium=mail"


def test_a_fetch_in_advance_is_a_machines(sent: Sent) -> None:
    for number, header in enumerate(("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"), start=1):
        headers = {"User-Agent": PERSON, header: "preview" if header == "X-Purpose" else "prefetch;prerender"}
        sent.client.get(f"/c/{sent.token(number)}/{sent.links['text']}", headers=headers)
    sent.drain()

    assert [(event.machine, event.rule) for event in sent.events()] == [(True, "prefetch/1")] * 4


def test_paths_of_any_length_get_the_same_answer(sent: Sent) -> None:
    good = sent.token()

    paths = (f"/o/{'A' * 8_192}.gif", f"/o/{good}.gif{'x' * 8_192}", f"/c/{good}/{'1' * 8_192}", f"/c/{good}/{'/' * 8_192}")

    assert [sent.client.get(path).status_code for path in paths] == [404] * 4
    assert sent.client.get(f"/c/{good}/{sent.links['text']}?{'q' * 8_192}").status_code == 302


def test_a_campaign_deleted_while_its_events_arrive_drops_them(sent: Sent) -> None:
    sent.open()
    sent.click()
    with sent.ground.writing() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if "campaign_id" in table.c:
                session.execute(delete(table).where(table.c.campaign_id == sent.campaign_id))
        session.execute(delete(Campaign).where(Campaign.id == sent.campaign_id))
    late = sent.click()
    sent.drain()

    assert late.status_code == 302
    assert sent.dropped() == {"unknown": 3}
    assert (sent.events(), sent.hours()) == ([], [])


def test_a_clock_that_jumps_is_counted_not_believed(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    for years in (-30, -1, 0, 1, 200):
        monkeypatch.setattr(buffer, "time_ns", lambda years=years: now + years * 365 * 86_400 * 10**9)
        sent.open()
    sent.drain()

    assert len(sent.events()) == 1
    assert sent.dropped() == {"clock": 4}


def test_a_campaign_without_beacon_or_without_tracked_links(sent: Sent) -> None:
    with sent.ground.reading() as session:
        campaign = session.get_one(Campaign, sent.campaign_id)
        campaign.record_opens = False
        opens_off = (
            compiler.compile_source(compilation.source_of(session, campaign, "https://news.example")).programs["html", "en"].to_json()
        )
        campaign.record_opens, campaign.record_clicks = True, False
        clicks_off = (
            compiler.compile_source(compilation.source_of(session, campaign, "https://news.example")).programs["html", "en"].to_json()
        )

    assert ("/o/" in opens_off, "/c/" in opens_off) == (False, True)
    assert ("/o/" in clicks_off, "/c/" in clicks_off) == (True, False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example/a?b=c#d", "https://shop.example/a?b=c#d"),
        ("https://shop.example/秋?q=あ b", "https://shop.example/%E7%A7%8B?q=%E3%81%82%20b"),
        ("https://日本.example/%E7%A7%8B", "https://xn--wgv71a.example/%E7%A7%8B"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("http://shop.example/\r\nSet-Cookie: a=b", "http://shop.example/Set-Cookie:%20a=b"),
        ("javascript:alert(1)", None),
        ("//elsewhere.example", None),
        ("https:///path", None),
        ("https://shop.example@elsewhere.example/", None),
        ("https://shop.example:99999/", None),
    ],
)
def test_a_location_is_plain_ascii_and_leads_to_the_web(url: str, expected: str | None) -> None:
    assert location(url) == expected


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", b"\xcb\x00\x71"),
        ("2001:db8:1:2:3:4:5:6", b"\x20\x01\x0d\xb8\x00\x01"),
        ("::ffff:203.0.113.77", b"\xcb\x00\x71"),
        ("", b""),
        ("unix:", b""),
        ("203.0.113.77\x00", b""),
    ],
)
def test_of_an_address_only_its_network_is_kept(address: str, kept: bytes) -> None:
    assert endpoint.network(address) == kept


def test_behind_trusted_proxies_the_network_is_the_clients(sent: Sent) -> None:
    ground = Runtime(replace(sent.ground.settings, proxy_hops=1), sent.ground.secrets, sent.ground.database)
    app = create_public_app(ground)
    client = Client(app)

    client.get(f"/o/{sent.token()}.gif", headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.77", "User-Agent": "Thunderbird"})
    app.wsgi_app.buffer.stop()  # type: ignore[attr-defined]
    sent.drain()

    assert [event.network for event in sent.events()] == ["203.0.113.0/24"]

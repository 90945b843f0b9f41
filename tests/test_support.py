"""What the fixtures promise to the other tests."""

import http.server
import smtplib
import threading
from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import create_engine, inspect, text


def test_every_test_gets_a_migrated_database_without_rows(database_url):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        tables = inspect(connection).get_table_names()
        rows = connection.execute(text("SELECT count(*) FROM members")).scalar_one()
    engine.dispose()

    assert "alembic_version" in tables
    assert rows == 0


def test_an_unmigrated_database_has_no_tables(unmigrated_url):
    engine = create_engine(unmigrated_url)
    tables = inspect(engine).get_table_names()
    engine.dispose()

    assert tables == []


@pytest.mark.parametrize("unmigrated_url", ["postgresql"], indirect=True)
def test_postgres_lowers_more_than_ascii(unmigrated_url):
    engine = create_engine(unmigrated_url)
    with engine.connect() as connection:
        lowered = connection.execute(text("SELECT lower('É')")).scalar_one()
    engine.dispose()

    assert lowered == "é"


@pytest.mark.parametrize("round_", [1, 2])
def test_valkey_is_empty_for_every_test(valkey, round_):
    with Redis.from_url(valkey) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_sink_keeps_the_bytes_of_a_mail_as_sent(smtp_sink):
    with smtplib.SMTP(smtp_sink.host, smtp_sink.port) as client:
        client.sendmail("from@example.org", ["to@example.org"], b"Subject: x\r\n\r\n.dot\r\n")

    (mail,) = smtp_sink.wait_for(1)
    assert (mail.mail_from, mail.recipient, mail.raw) == ("from@example.org", "to@example.org", b"Subject: x\r\n\r\n.dot\r\n")


def test_the_sink_refuses_whom_it_is_told_to(smtp_sink):
    smtp_sink.refusals["gone@example.org"] = "550 5.1.1 no such user"

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("from@example.org", ["gone@example.org"], b"Subject: x\r\n\r\n")

    assert smtp_sink.received == []


def test_the_sink_closes_under_a_client_that_stays_connected(smtp_sink):
    client = smtplib.SMTP(smtp_sink.host, smtp_sink.port)

    assert client.noop()[0] == 250
    assert client.sock
    client.sock.close()


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in _PAGES:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' http:")
        self.end_headers()
        self.wfile.write(_PAGES[self.path].encode())

    def log_message(self, *_):
        pass


_PAGES = {
    "/": "<!doctype html><html lang=en><title>Hello</title><main><h1>Members 会員</h1></main>",
    "/no-alt": "<!doctype html><html lang=en><title>Hello</title><main><h1>Members</h1><img src='/x.gif'></main>",
    "/inline": "<!doctype html><html lang=en><title>Hello</title><h1 style='color:red'>Members</h1>",
    "/abroad": "<!doctype html><html lang=en><title>Hello</title><img alt='' src='http://192.0.2.1/x.gif'>",
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_axe_passes_a_sound_page_under_a_strict_policy(page, site, axe):
    page.goto(site)

    assert axe(page) == []


def test_axe_finds_an_image_without_words(page, site, axe):
    page.goto(f"{site}/no-alt")

    assert [violation.rule for violation in axe(page)] == ["image-alt"]


@pytest.mark.parametrize(("path", "fault"), [("/inline", "content policy"), ("/abroad", "request to another host: http://192.0.2.1")])
def test_a_page_that_breaks_the_rules_is_noticed(browser, site, path, fault):
    from tests.support.chromium import Watch

    context = browser.new_context()
    watch = Watch(context)
    context.new_page().goto(site + path, wait_until="domcontentloaded")
    context.close()

    assert [found for found in watch.faults if fault in found]


def test_japanese_is_drawn_and_not_boxes(page, site):
    page.set_content("<style>span{font:40px sans-serif}</style><span id=a>会</span><span id=b>員</span>")

    assert page.locator("#a").screenshot() != page.locator("#b").screenshot()

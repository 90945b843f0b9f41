"""Mail servers in a real browser: added with a wrong password, the reason read, mended, and open to everybody on any screen."""

import os
from pathlib import Path

import pytest

from kairan import clock, vault
from mailer.delivery import ceilings, domains, provider_changes, providers
from mailer.delivery.provider_changes import Wanted
from tests.support import auth_smtp
from tests.web.test_browser import _sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE = "/settings/providers"
SHOTS = os.environ.get("SHOTS")


def _fill(ground) -> None:
    """One that works, one that fails, one at its ceiling, one that is off, and the environment's."""
    object.__setattr__(ground.settings, "smtp_url", "smtp+starttls://me:pw@mail.example.org:587")
    safe, now = vault.of(ground.secrets), clock.now()
    with ground.writing() as session:
        for name, more in {
            "Mail service": {"weight": 3, "rate": 50.0},
            "Second service": {},
            "New server": {"daily_ceiling": 5_000, "warm_start": 200, "warm_factor": 1.5, "warm_target": 50_000},
            "Old server": {"enabled": False, "position": 20},
        }.items():
            provider_changes.add(
                session, Wanted(name, f"{name.split()[0].lower()}.example.org", 587, "starttls", "me", "pw", **more), safe, now
            )
        providers.open_breaker(session, 2, "the server refused the login: 535 5.7.8 wrong user name or password", now)
        ceilings.reserve_today(session, 3, 500, now)
        domains.put(session, None, {"docomo": 5.0}, [("Club", ("club.example",), 1.0)], now)


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(1440, "light", "en"), (1440, "dark", "ja"), (390, "light", "ja"), (390, "dark", "en")]
)
def test_the_pages_are_open_to_everybody_and_fit_the_screen(address, ground, new_page, axe, width, scheme, language):
    _fill(ground)
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    _sign_in(page, address, language)

    for path in ("", "/new", "/1", "/3", "/5", "/domains", "/1/domains", "/1/delete"):
        answer = page.goto(f"{address}{HERE}{path}")

        assert answer.status == 200, path
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"
        if SHOTS:
            name = f"providers{path.replace('/', '-')}-{width}-{scheme}-{language}.png"
            page.screenshot(path=str(Path(SHOTS) / name), full_page=True)


@pytest.mark.parametrize("script", [True, False], ids=["with-script", "without-script"])
def test_a_wrong_password_is_read_off_the_page_and_mended(address, new_page, tmp_path, monkeypatch, script):
    page = new_page(locale="en-GB", java_script_enabled=script, viewport={"width": 390, "height": 844})
    with auth_smtp.running(tmp_path, password="right") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        _sign_in(page, address)
        page.goto(address + HERE)
        page.click("main a:has-text('Add a mail server') >> nth=0")
        for name, value in {"name": "Service", "host": "localhost", "port": str(server.port), "login": "me", "password": "wrong"}.items():
            page.fill(f"#{name}", value)
        page.click("main button:has-text('Save')")
        page.click("main button:has-text('Try it out')")
        page.wait_for_selector("text=refused the login: 535")
        if SHOTS and script:
            page.screenshot(path=str(Path(SHOTS) / "provider-wrong-390.png"), full_page=True)

        page.fill("#password", "right")
        page.click("main button:has-text('Save')")
        page.wait_for_selector("text=Saved.")
        page.fill("#to", "hanako@example.com")
        page.click("main button:has-text('Try it out')")
        page.wait_for_selector("text=The server accepted the mail: 250")

        assert server.mails == [("hanako@example.com", "hanako@example.com")]
        assert page.input_value("#password") == ""

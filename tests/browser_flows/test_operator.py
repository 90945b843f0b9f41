"""Flows 4 and 8: a new operator's mail server refuses the login; the pages say why, it is mended, and what goes out is held and undone."""

from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from sqlalchemy import select

from kairan.database import Database
from kairan.models.outbox import OutboxMail
from tests.browser_flows.test_marketer import _let_the_minute_pass, _set_up
from tests.support import auth_smtp
from tests.support.auth_smtp import AuthSmtp
from tests.support.installation import Installation, running, wait_for

MEMBERS = 60
"""at two mails a second there is time to pause"""
CSV = "email,first_name\n" + "".join(f"m{number}@members.example,Name{number}\n" for number in range(MEMBERS))


@pytest.fixture
def server(tmp_path, monkeypatch):
    with auth_smtp.running(tmp_path, password="right") as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.authority))
        yield found


@pytest.fixture
def installation(tmp_path, server: AuthSmtp):
    with running(tmp_path, database_url=None, smtp_url="") as found:
        yield found


def _add_provider(page: Any, installation: Installation, server: AuthSmtp) -> None:
    page.goto(f"{installation.base}/settings/providers/new")
    fields = {"name": "Service", "host": "localhost", "port": str(server.port), "login": "me", "password": "wrong", "rate": "2"}
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    page.click("main button:has-text('Save')")
    page.wait_for_selector("text=Try it out before you send.")


def _members(page: Any, installation: Installation) -> None:
    page.goto(f"{installation.base}/audience/lists")
    page.fill("#name", "Club")
    page.fill("#purpose", "News of the club")
    page.click("button:has-text('Make the list')")
    page.click("a:has-text('Import') >> visible=true >> nth=-1")
    page.set_input_files("#file", {"name": "members.csv", "mimeType": "text/csv", "buffer": CSV.encode()})
    page.fill("#consent", "Paper form: I want the news of the club by mail.")
    page.click("main button:has-text('Import')")
    page.wait_for_selector("text=Show the list")


def _written(page: Any, installation: Installation, name: str) -> None:
    page.goto(f"{installation.base}/campaigns/new?start=letter")
    page.fill("#name", name)
    page.click("button:has-text('Continue')")
    page.click("label.tile:has-text('Club')")
    page.wait_for_selector(f"#reach .kpi-figure:has-text('{MEMBERS} members')")
    page.click("text=Continue to the content")
    page.wait_for_url("**/content")
    page.fill("#subject", name)
    page.fill("#preheader", "What is new")
    page.fill("#content", page.input_value("#content").replace("https://example.org/", f"{installation.base}/healthz"))
    page.click("text=Continue to the review")
    page.wait_for_url("**/review")


def _sent(page: Any) -> None:
    page.click("text=Continue to sending")
    page.wait_for_selector(f"button:has-text('Send to {MEMBERS} members')")
    if page.is_visible("#seen"):  # the second campaign to one list within a day
        page.check("#seen")
    page.click(f"button:has-text('Send to {MEMBERS} members')")
    page.wait_for_selector("text=Until then it can be undone")


@pytest.mark.slow
def test_an_operator_mends_a_refused_login_and_holds_and_undoes_what_goes_out(installation, server, new_page, axe):
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 900})
    _set_up(page, installation)
    _add_provider(page, installation, server)
    _members(page, installation)
    _written(page, installation, "Autumn")
    _sent(page)
    _let_the_minute_pass(installation)

    # flow 8: the page says why it stands still, what to do, and leads there
    page.wait_for_selector("text=The mail server refused the login.")
    assert "Enter its password again" in page.inner_text("main")
    assert axe(page) == []
    wait_for("it is told", lambda: [subject for subject in _told(installation) if "“Autumn” has stopped" in subject])
    page.goto(installation.base)
    page.wait_for_selector("text=“Autumn” was stopped")
    page.click("text=Look and decide")
    page.click("text=Open the mail server")
    page.fill("#password", "right")
    page.click("main button:has-text('Save')")
    page.click("main button:has-text('Try it out')")
    page.wait_for_selector(".flash.ok, .note.ok")
    page.goto(f"{installation.base}/campaigns/1/progress")
    page.click("main button:has-text('Resume')")

    # it goes out, and the page shows it without being asked
    page.wait_for_selector(".legend li:has-text('Accepted'):has(b:not(:text-is('0')))", timeout=30_000)
    page.wait_for_selector("section[aria-labelledby=through] >> text=Service")
    page.wait_for_selector("section[aria-labelledby=domains] >> text=members.example")

    # flow 4: paused from any page through the banner
    page.goto(f"{installation.base}/audience/lists")
    page.click(".going button:has-text('Pause')")
    page.wait_for_selector("text=Paused. No further mail starts.")
    held = len(_to_members(server))
    assert 0 < held < MEMBERS
    page.goto(f"{installation.base}/settings/providers/1")
    page.fill("#rate", "")
    page.click("main button:has-text('Save')")
    page.wait_for_selector("text=Saved.")
    assert len(_to_members(server)) == held
    page.goto(f"{installation.base}/campaigns/1/progress")
    page.click("main button:has-text('Resume')")
    page.wait_for_selector(".tag:has-text('Sent')", timeout=30_000)
    assert sorted(_to_members(server)) == sorted(f"m{number}@members.example" for number in range(MEMBERS))

    # undone within the minute
    _written(page, installation, "That was wrong")
    _sent(page)
    page.click("main button:has-text('Undo')")
    page.wait_for_selector("text=Nothing was sent. The campaign is a draft again.")
    assert page.url.endswith("/campaigns/2/review")
    assert len(_to_members(server)) == MEMBERS

    # and the administrator was told of it all, once a cause
    wait_for("the end is told", lambda: [subject for subject in _arrived(server) if "“Autumn” has ended" in subject])
    told = _told(installation)
    assert [sum(title in subject for subject in told) for title in ("“Autumn” has stopped", "“Autumn” has ended")] == [1, 1]


def _to_members(server: AuthSmtp) -> list[str]:
    return [recipient for _, recipient in list(server.mails) if recipient.endswith("@members.example")]


def _arrived(server: AuthSmtp) -> list[str]:
    """Subjects of the mails to the administrator."""
    return _subjects([body for body, (_, to) in zip(list(server.bodies), list(server.mails), strict=False) if to == "admin@example.org"])


def _told(installation: Installation) -> list[str]:
    """Subjects of the mails to the administrator, sent or waiting for a mail server that takes them."""
    database = Database(f"sqlite:///{installation.environment['KAIRAN_DATA_DIR']}/kairan.sqlite")
    with database.reading() as session:
        messages = list(session.scalars(select(OutboxMail.message).where(OutboxMail.kind == "alert").order_by(OutboxMail.id)))
    database.dispose()
    return _subjects(messages)


def _subjects(messages: list[bytes]) -> list[str]:
    return [str(message_from_bytes(message, policy=default)["Subject"]) for message in messages]

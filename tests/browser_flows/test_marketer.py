"""Flow 1: nothing installed → administrator → list → members → campaign in three steps → test → sent → report."""

import io
import re
import time
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import openpyxl
import pytest
from sqlalchemy import update

from kairan import clock
from kairan.database import Database
from kairan.models.campaigns import Campaign
from tests.browser_flows.conftest import READER
from tests.support.installation import Installation, running, wait_for
from tests.support.smtp import Received, SmtpSink

MEMBERS = "\ufeffemail,first_name,last_name,locale\n" + "".join(
    f"{first.lower()}@members.example,{first},{last},{language}\n"
    for first, last, language in (("Ada", "King", "en"), ("Ken", "Mori", "en"), ("Hanako", "佐藤", "ja"))
)
PASSWORD = "correct horse battery"


@pytest.fixture
def installation(tmp_path, smtp_sink):
    with running(tmp_path, database_url=None, smtp_url=smtp_sink.url) as found:
        yield found


def _set_up(page: Any, installation: Installation) -> None:
    link = re.search(r"http\S+/setup/\S+", installation.log.read_text("utf-8"))
    assert link is not None
    page.goto(link[0])
    page.fill("#email", "admin@example.org")
    page.fill("#password", PASSWORD)
    page.fill("#organisation", "Autumn Club")
    page.fill("#address", "1-2-3 Aoba, Sendai")
    page.fill("#contact", "hello@example.org")
    page.fill("#from_name", "Autumn Club")
    page.fill("#from_email", "news@example.org")
    page.click("text=Create the administrator")
    page.wait_for_url(f"{installation.base}/")


def _list_with_members(page: Any, installation: Installation) -> None:
    page.goto(f"{installation.base}/audience/lists")
    page.fill("#name", "Autumn club")
    page.fill("#purpose", "News of the autumn club")
    page.click("button:has-text('Make the list')")
    page.click("a:has-text('Import') >> visible=true >> nth=-1")
    rows = f"{MEMBERS}no address,,,\n".encode()
    page.set_input_files("#file", {"name": "members.csv", "mimeType": "text/csv", "buffer": rows})
    page.fill("#consent", "Paper form: I want the news of the autumn club by mail.")
    page.click("main button:has-text('Import')")
    page.wait_for_selector("text=Show the list")
    assert page.inner_text("dl.kpis > div >> nth=0").split() == ["Added", "3"]
    with page.expect_download() as refused:
        page.click("text=Rejected rows")
    assert "no address" in refused.value.path().read_text("utf-8-sig")


def _written(page: Any, installation: Installation) -> None:
    page.goto(f"{installation.base}/campaigns/new?start=letter")
    page.fill("#name", "Autumn greeting")
    page.click("button:has-text('Continue')")
    page.click("label.tile:has-text('Autumn club')")
    page.wait_for_selector("#reach .kpi-figure:has-text('3 members')")
    page.click("text=Continue to the content")
    page.wait_for_url("**/content")
    page.fill("#subject", "{{ member.first_name | default: 'Hello' }}, autumn is here")
    page.fill("#preheader", "Three walks under red leaves")
    page.fill("#content", page.input_value("#content").replace("https://example.org/", f"{_elsewhere(installation)}/healthz"))
    page.frame_locator("iframe[name=preview]").locator("text=/^Hello (Ada|Ken|Hanako),$/").wait_for()
    page.click("text=Continue to the review")
    page.wait_for_url("**/review")


def _elsewhere(installation: Installation) -> str:
    """The place the mail's link leads to: another origin on this machine, since a test asks nobody else."""
    return installation.base.replace("127.0.0.1", "localhost")


def _html(mail: Received) -> str:
    body = message_from_bytes(mail.raw, policy=default).get_body(("html",))
    assert body is not None
    return str(body.get_content())


def _sent(page: Any, installation: Installation, sink: SmtpSink) -> None:
    page.click("text=Continue to sending")
    page.click("button:has-text('Send to 3 members')")
    page.wait_for_selector("text=Until then it can be undone")
    _let_the_minute_pass(installation)
    sink.wait_for(4)
    page.wait_for_selector(".tag:has-text('Sent')")


def _let_the_minute_pass(installation: Installation) -> None:
    """Nobody waits a minute in a test: the moment it is due at is put back instead."""
    path = installation.environment["KAIRAN_DATA_DIR"]
    database = Database(f"sqlite:///{path}/kairan.sqlite")
    with database.writing() as session:
        session.execute(update(Campaign).values(due_at=clock.now() - timedelta(seconds=1)))
    database.dispose()


def test_a_new_marketer_goes_from_nothing_to_a_report(installation, smtp_sink, new_page, axe):
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 900}, accept_downloads=True)
    _set_up(page, installation)
    _list_with_members(page, installation)
    _written(page, installation)

    # a test goes to the marketer and counts nowhere
    page.click("button:has-text('Send the test')")
    assert "Test: " in str(message_from_bytes(smtp_sink.wait_for(1)[0].raw, policy=default)["Subject"])

    # the campaign goes to its members
    _sent(page, installation, smtp_sink)
    mail = smtp_sink.to("ada@members.example")[0]
    assert message_from_bytes(mail.raw, policy=default)["Subject"] == "Ada, autumn is here"

    # a member reads it and follows its button, and the report knows
    wait_for("the first seconds, in which only machines are so fast, are over", lambda: _old_enough(mail))
    reader = new_page(locale="en-GB", user_agent=READER)
    reader.set_content(_html(mail), wait_until="networkidle")
    reader.click("text=Read more")
    reader.wait_for_url(f"{_elsewhere(installation)}/healthz")
    page.goto(f"{installation.base}/campaigns/1")
    wait_for("the report knows", lambda: page.reload() and page.inner_text(".kpis").count("1 member") == 2, timeout_s=10)
    assert axe(page) == []

    # who it was leaves only with a purpose and a recipient
    page.click("main a:has-text('Export')")
    page.fill("#purpose", "Evaluation")
    page.fill("#recipient", "Club office")
    assert axe(page) == []
    page.click("text=Make the file")
    page.wait_for_selector("a:has-text('Download')")
    assert axe(page) == []
    with page.expect_download() as exported:
        page.click("a:has-text('Download')")
    head, *rows = openpyxl.load_workbook(io.BytesIO(exported.value.path().read_bytes())).active.iter_rows(values_only=True)
    events = [dict(zip(head, row, strict=True)) for row in rows]
    assert {(event["type"], event["email"], event["label"]) for event in events} == {
        ("open", "ada@members.example", None),
        ("click", "ada@members.example", "Read more"),
    }
    assert all(isinstance(event["occurred_at (UTC)"], datetime) and event["campaign_id"] == 1 for event in events)


def _old_enough(mail: Received) -> bool:
    return time.monotonic() - mail.at > 2.5

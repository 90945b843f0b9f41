"""The whole sentence: a CSV of members with their consent → list → campaign → pre-flight → RQ workers → SMTP → beacon and clicks of the
identified member → report and CSV → one-click that cuts off what is still going out. Real processes, HTTP, SMTP, Valkey, databases."""

import csv
import io
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import pytest
from lxml import html as lxml_html

from tests.support.installation import Installation, running, wait_for
from tests.support.smtp import Received, SmtpSink

MEMBERS = 40
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0"
CONTENT = """<html><body><h1>Hello {{ member.first_name | default: "friend" }}</h1>
<p><a href="https://shop.example/story">Read the story</a></p>
<p><a href="https://shop.example/picture"><img src="https://shop.example/hero.png" alt="Autumn leaves" width="600"></a></p>
</body></html>"""


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path, smtp_sink: SmtpSink) -> Iterator[Installation]:
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.create(request.getfixturevalue("_migrated_postgres"))
    smtp_sink.hold_after = MEMBERS // 2
    with running(tmp_path, database_url=url, smtp_url=f"{smtp_sink.url}?connections=1") as running_installation:
        yield running_installation


def _members_csv() -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["email", "first_name", "last_name", "locale", "plan"])
    writer.writerows([f"m{n}@members.example", f"Name{n}", "山田", "ja" if n % 2 else "en", "gold"] for n in range(1, MEMBERS + 1))
    writer.writerow(["not an address", "", "", "", ""])
    return out.getvalue().encode("utf-8-sig")


def _import(installation: Installation, list_id: str) -> dict[str, object]:
    answer = installation.http(
        "POST",
        f"/api/v1/members/import?list={list_id}&consent=Form%3A%20I%20want%20news&consent_at=2026-11-01T09:00:00Z",
        _members_csv(),
        Authorization=f"Bearer {installation.token}",
        Content_Type="text/csv",
    )
    assert answer.status == 202, answer.body
    job = answer.json["job"]
    return cast(
        "dict[str, object]",
        wait_for(
            "the import ends", lambda: (found := installation.api("GET", f"/jobs/{job}").json)["state"] in ("done", "failed") and found
        ),
    )


def _parsed(mail: Received) -> EmailMessage:
    return message_from_bytes(mail.raw, policy=default)


def _links(mail: Received) -> dict[str, str]:
    """What a mail program finds in the HTML part: beacon, image link, text link, unsubscribe."""
    body = _parsed(mail).get_body(("html",))
    assert body is not None
    tree = lxml_html.fromstring(body.get_content())
    anchors = {str(anchor.get("href")): anchor for anchor in tree.iter("a")}
    clicks = [(href, anchor) for href, anchor in anchors.items() if "/c/" in href]
    return {
        "beacon": next(str(image.get("src")) for image in tree.iter("img") if "/o/" in str(image.get("src"))),
        "image": next(href for href, anchor in clicks if anchor.find("img") is not None),
        "text": next(href for href, anchor in clicks if anchor.find("img") is None),
        "unsubscribe": next(href for href in anchors if "/u/" in href),
    }


def _one_click_address(mail: Received) -> str:
    message = _parsed(mail)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    return str(message["List-Unsubscribe"]).strip("<>").split(">")[0]


def test_the_main_job_end_to_end(installation: Installation, smtp_sink: SmtpSink) -> None:
    settings = {"organisation": {"name": "Kairan Books", "address": "1-2-3 Kanda, Tokyo", "contact": "help@books.example"}}
    campaign = {
        "name": "Autumn",
        "subject": "News for {{ member.first_name }}",
        "from_name": "Kairan Books",
        "from_email": "news@books.example",
        "content": {"html": CONTENT},
    }

    # a fresh installation has not said who sends, so it refuses
    list_id = installation.api("POST", "/lists", {"name": "News", "purpose": "Our newsletter"}).json["id"]
    job = _import(installation, list_id)
    assert (job["state"], job["done"], job["errors"]) == ("done", MEMBERS + 1, 1)
    campaign_id = installation.api("POST", "/campaigns", {**campaign, "lists": [list_id]}).json["id"]
    refused = installation.api("POST", f"/campaigns/{campaign_id}/send")
    assert refused.status == 422
    assert b"legal_lines" in refused.body
    assert smtp_sink.received == []

    # pre-flight is content, the campaign goes out, and half of it is on its way when the server gets slow
    assert installation.api("PATCH", "/settings", settings).status == 200
    assert installation.api("POST", f"/campaigns/{campaign_id}/send").status == 202
    arrived = smtp_sink.wait_for(MEMBERS // 2)
    served = {mail.recipient for mail in arrived}
    found = installation.api("GET", f"/campaigns/{campaign_id}").json
    assert found["audience"] == MEMBERS
    assert sum(found["deliveries"].values()) == MEMBERS

    # a member whose mail is still queued takes the one click; the server then goes on
    waiting = max(
        (f"m{n}@members.example" for n in range(1, MEMBERS + 1) if f"m{n}@members.example" not in served),
        key=lambda email: int(email[1:].split("@")[0]),
    )
    member = installation.api("GET", f"/members?email={waiting}").json["items"][0]
    token = _token_for(installation, int(member["id"]), int(campaign_id))
    answer = installation.http("POST", f"/u/{token}", b"List-Unsubscribe=One-Click", Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers
    smtp_sink.go_on.set()
    mails = smtp_sink.wait_for(MEMBERS - 1)
    wait_for("the campaign is sent", lambda: installation.api("GET", f"/campaigns/{campaign_id}").json["status"] == "sent")
    assert sorted(mail.recipient for mail in smtp_sink.received) == sorted({*(m.recipient for m in mails)})
    assert smtp_sink.to(waiting) == []

    # the mail off the wire, read by the standard library
    reader = smtp_sink.to("m2@members.example")[0]
    message = _parsed(reader)
    assert message["Subject"] == "News for Name2"
    assert message["To"].addresses[0].addr_spec == "m2@members.example"
    assert {"text/plain", "text/html"} <= {part.get_content_type() for part in message.walk()}
    assert _one_click_address(reader).startswith(f"{installation.base}/u/")

    # a person opens, clicks the picture and the words
    links = _links(reader)
    wait_for("the first seconds, in which only machines are so fast, are over", lambda: _old_enough(reader))
    assert installation.http("GET", links["beacon"], User_Agent=AGENT).headers["Content-Type"] == "image/gif"
    assert installation.http("GET", links["image"], User_Agent=AGENT).headers["Location"] == "https://shop.example/picture"
    assert installation.http("GET", links["text"], User_Agent=AGENT).headers["Location"] == "https://shop.example/story"
    assert installation.http("HEAD", _links(smtp_sink.to("m3@members.example")[0])["text"]).status == 302
    assert installation.http("GET", links["text"].replace("/c/A", "/c/B"), User_Agent=AGENT).status == 404
    report = wait_for("the report knows", lambda: _report(installation, campaign_id), timeout_s=10)
    assert (report["audience"], report["accepted"], report["unsubscribed"]) == (MEMBERS, MEMBERS - 1, 1)
    assert (report["opens"]["people"], report["opens"]["unique"]) == (1, 1)
    assert report["clicks"]["machines"] == 1
    items = installation.api("GET", f"/campaigns/{campaign_id}/links").json["items"]
    assert {(item["kind"], item["label"], item["unique"]) for item in items} >= {
        ("text", "Read the story", 1),
        ("image", "Autumn leaves", 1),
    }

    # the events as CSV, against the identified member
    exported = installation.api("GET", f"/campaigns/{campaign_id}/events?format=csv").body.decode()
    people = [row for row in csv.DictReader(io.StringIO(exported)) if row["machine"].lower() in ("false", "0")]
    assert {(row["type"], row["email"], row["kind"], row["label"]) for row in people} == {
        ("open", "m2@members.example", "", ""),
        ("click", "m2@members.example", "image", "Autumn leaves"),
        ("click", "m2@members.example", "text", "Read the story"),
    }

    # she leaves as well, by the link in her mail; looking at the page alone does nothing
    assert installation.http("GET", links["unsubscribe"]).status == 200
    assert (
        installation.http(
            "POST", _one_click_address(reader), b"List-Unsubscribe=One-Click", Content_Type="application/x-www-form-urlencoded"
        ).status
        == 200
    )
    acts = [row["act"] for row in installation.api("GET", f"/members/{_id_of(installation, 'm2@members.example')}/consent").json["items"]]
    assert {"opt_in", "leave_all"} <= set(acts)
    log = installation.log.read_text("utf-8", "replace")
    assert "@members.example" not in log


def _id_of(installation: Installation, email: str) -> str:
    return str(installation.api("GET", f"/members?email={email}").json["items"][0]["id"])


def _token_for(installation: Installation, member_id: int, campaign_id: int) -> str:
    """The token that stands in the mail this member has not got yet."""
    from kairan import secrets

    return secrets.from_root(installation.environment["KAIRAN_SECRET_KEY"]).tokens.act(member_id, campaign_id)


def _old_enough(mail: Received) -> bool:
    import time

    return time.monotonic() - mail.at > 2.5


def _report(installation: Installation, campaign_id: str) -> dict[str, dict[str, int]] | None:
    found = installation.api("GET", f"/campaigns/{campaign_id}/report").json
    return found if found["opens"]["people"] and found["clicks"]["people"] == 2 and found["clicks"]["machines"] else None

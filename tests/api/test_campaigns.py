"""Campaigns by API: written, checked, sent, held, ended, and what came of them."""

import csv
import io
import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audit import AuditRow, Provision
from kairan.models.campaigns import Campaign, Link
from kairan.models.events import Event, EventKind
from kairan.models.outbox import OutboxMail
from kairan.queues import WORK
from mailer.campaigns import jobs, preflight
from tests.api.conftest import CAMPAIGN
from tests.support import ground as rows


def test_a_campaign_is_made_shown_and_listed(admin, campaign, news):
    shown = admin("GET", f"/campaigns/{campaign}")

    assert shown.headers["ETag"] == '"1"'
    assert {name: shown.json[name] for name in ("status", "audience", "revision", "lists")} == {
        "status": "draft",
        "audience": 0,
        "revision": 1,
        "lists": [news],
    }
    assert len(shown.json["deliveries"]) == 10
    assert shown.json["content"]["html"] == rows.HTML
    assert [row["id"] for row in admin("GET", "/campaigns").json["items"]] == [campaign]


def test_what_cannot_be_is_pointed_at(admin, news):
    assert admin("POST", "/campaigns", {**CAMPAIGN, "segment": "1"}).json["errors"][0]["pointer"] == "#/segment"
    assert admin("POST", "/campaigns", {**CAMPAIGN, "exclude": {"segments": ["1"]}}).json["errors"][0]["pointer"] == "#/exclude/segments"
    assert admin("POST", "/campaigns", {**CAMPAIGN, "content": {}}).status_code == 422
    assert admin("POST", "/campaigns", {**CAMPAIGN, "lists": ["99"]}).json["errors"][0]["pointer"] == "#/lists"
    assert admin("POST", "/campaigns", {**CAMPAIGN, "subject": "a\r\nBcc: x@example.com"}).status_code == 422


PARAGRAPH = {"type": "paragraph", "content": [{"type": "text", "text": "Hello"}]}
DOCUMENT = {
    "version": 1,
    "body": {"type": "doc", "content": [{"type": "section", "content": [{"type": "column", "content": [PARAGRAPH]}]}]},
}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>Hello</mj-text></mj-column></mj-section></mj-body></mjml>"}, "Hello"),
        ({"markdown": "# Hello\n\n- one\n"}, "Hello"),
        ({"document": DOCUMENT}, "Hello"),
    ],
)
def test_other_kinds_of_content_are_taken_kept_and_checked(admin, news, content, word):
    made = admin("POST", "/campaigns", {**CAMPAIGN, "lists": [news], "content": content})
    assert made.status_code == 201, made.json
    (kind,) = content
    shown = admin("GET", f"/campaigns/{made.json['id']}").json["content"]
    assert word in str(shown[kind]) and [name for name, value in shown.items() if value is not None] == [kind]
    findings = admin("POST", f"/campaigns/{made.json['id']}/preflight", {}).json
    assert "content" not in {finding["rule"] for finding in findings["findings"] if finding["level"] == "error"}


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"mjml": "<mjml><mj-body><mj-include path='/etc/passwd'/></mj-body></mjml>"}, "#/content/mjml"),
        ({"mjml": "<mjml><mj-body>"}, "#/content/mjml"),
        ({"mjml": "<mjml>" + "<a>" * 20_000 + "</a>" * 20_000 + "</mjml>"}, "#/content/mjml"),
        ({"document": {"version": 1, "body": {"type": "doc", "content": [{"type": "script"}]}}}, "#/content/document"),
        ({"document": {"version": 9}}, "#/content/document"),
        ({"html": "x", "markdown": "y"}, "#/content"),
    ],
)
def test_content_that_lies_is_refused_with_what_is_wrong(admin, content, pointer):
    answer = admin("POST", "/campaigns", {**CAMPAIGN, "content": content})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_of_two_changes_on_one_revision_the_second_is_told(admin, campaign):
    path = f"/campaigns/{campaign}"
    assert admin("PATCH", path, {"subject": "Winter", "revision": 1}).json["revision"] == 2

    for answer in (
        admin("PATCH", path, {"subject": "Spring", "revision": 1}),
        admin("PATCH", path, {"subject": "Spring"}, headers={"If-Match": '"1"'}),
    ):
        assert (answer.status_code, answer.json["revision"]) == (409, 2)
    assert admin("GET", path).json["subject"] == "Winter"
    assert admin("PATCH", path, {"preheader": "soon", "name": "Cold"}, headers={"If-Match": '"2"'}).json["name"] == "Cold"
    assert admin("PATCH", path, {"content": {"text": "plain"}}).json["content"]["text"] == "plain"


def test_a_copy_is_a_draft_of_its_own(admin, campaign):
    made = admin("POST", f"/campaigns/{campaign}/copy")

    assert (made.status_code, made.json["status"]) == (201, "draft")
    assert made.json["id"] != campaign


def test_the_check_finds_what_stops_a_send_and_nothing_is_sent(admin, campaign, ground):
    assert admin("POST", f"/campaigns/{campaign}/preflight").json["reached"] == 3
    admin("PATCH", f"/campaigns/{campaign}", {"content": {"html": "<p>{{ member.nothing }}</p>"}, "lists": []})

    answer = admin("POST", f"/campaigns/{campaign}/send")

    assert answer.status_code == 422
    errors = {finding["rule"] for finding in answer.json["findings"] if finding["level"] == "error"}
    assert "nobody" in errors
    assert len(errors) >= 2
    assert admin("GET", f"/campaigns/{campaign}").json["status"] == "draft"
    assert ground.queues.waiting(WORK) == 0


def test_a_send_starts_at_once_and_happens_once(admin, campaign, ground):
    started = admin("POST", f"/campaigns/{campaign}/send")
    assert (started.status_code, started.json["status"]) == (202, "scheduled")
    assert isinstance(started.json["warnings"], list)
    assert ground.queues.waiting(WORK) == 1
    assert admin("POST", f"/campaigns/{campaign}/send").status_code == 409

    jobs.start_due()

    shown = admin("GET", f"/campaigns/{campaign}").json
    assert shown["status"] == "sending"
    assert shown["audience"] == sum(shown["deliveries"].values()) == 3


def test_what_is_sent_is_what_was_checked(admin, campaign, ground, monkeypatch):
    check = preflight.check

    def slow_check(*given, **more):
        found = check(*given, **more)
        monkeypatch.setattr(preflight, "check", check)
        assert admin("PATCH", f"/campaigns/{campaign}", {"subject": "Changed meanwhile"}).status_code == 200
        return found

    monkeypatch.setattr(preflight, "check", slow_check)

    answer = admin("POST", f"/campaigns/{campaign}/send")

    assert (answer.status_code, admin("GET", f"/campaigns/{campaign}").json["status"]) == (409, "draft")


def test_many_changes_at_once_are_made_one_by_one_or_refused(admin, campaign):
    together, answers = threading.Barrier(4), []

    def change(number: int) -> None:
        together.wait()
        answers.append(admin("PATCH", f"/campaigns/{campaign}", {"subject": f"Subject {number}", "revision": 1}).status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200, 409, 409, 409]


def test_a_send_may_be_for_later(admin, campaign, ground):
    at = clock.now() + timedelta(days=1)
    assert admin("POST", f"/campaigns/{campaign}/send", {"at": "2020-01-01T00:00:00Z"}).status_code == 422
    assert admin("POST", f"/campaigns/{campaign}/send", {"at": "2030-01-01T00:00:00"}).status_code == 422
    assert admin("POST", f"/campaigns/{campaign}/send", {"at": "9999-12-31T23:59:59-10:00"}).status_code == 422
    assert admin("POST", f"/campaigns/{campaign}/send", {"at": at.isoformat()}).status_code == 202
    assert admin("GET", f"/campaigns/{campaign}").json["due_at"] == at.isoformat().replace("+00:00", "Z")
    assert ground.queues.waiting(WORK) == 0


def test_pause_resume_and_cancel_are_refused_where_they_do_not_fit(admin, campaign, ground):
    path = f"/campaigns/{campaign}"
    assert admin("POST", f"{path}/pause").status_code == 409
    assert admin("POST", f"{path}/resume").json["campaign_status"] == "draft"
    rows.start_sending(ground, int(campaign), clock.now())

    assert admin("POST", f"{path}/pause").json["status"] == "paused"
    assert admin("PATCH", path, {"subject": "Corrected"}).json["revision"] == 2
    assert admin("PATCH", path, {"lists": []}).status_code == 409
    assert admin("POST", f"{path}/resume").json["status"] == "sending"
    assert admin("POST", f"{path}/cancel").json["status"] == "cancelled"
    shown = admin("GET", path).json
    assert (shown["deliveries"]["cancelled"], shown["audience"]) == (3, 3)
    with ground.reading() as session:
        assert list(session.scalars(select(AuditRow.action).order_by(AuditRow.id)))[-4:] == [
            "campaign.pause", "campaign.change", "campaign.resume", "campaign.cancel",
        ]  # fmt: skip


def test_with_redis_away_a_resume_is_answered_all_the_same(admin, campaign, ground, monkeypatch):
    rows.start_sending(ground, int(campaign), clock.now())
    admin("POST", f"/campaigns/{campaign}/pause")
    ground.queues.close()
    ground.__dict__.pop("queues", None)
    object.__setattr__(ground.settings, "redis_url", "redis://127.0.0.1:1/0")

    answer = admin("POST", f"/campaigns/{campaign}/resume")

    assert (answer.status_code, answer.json["status"]) == (200, "sending")


def test_a_test_goes_into_the_outbox(admin, campaign, ground):
    assert admin("POST", f"/campaigns/{campaign}/test", {"to": []}).status_code == 422
    assert admin("POST", f"/campaigns/{campaign}/test", {"to": ["nobody"]}).json["errors"][0]["pointer"] == "#/to/0"
    assert admin("POST", f"/campaigns/{campaign}/test", {"to": ["me@books.example"]}).status_code == 202
    with ground.reading() as session:
        assert session.scalars(select(OutboxMail.recipient)).all() == ["me@books.example"]


# ---- what came of it


@pytest.fixture
def clicked(campaign, ground) -> str:
    with ground.writing() as session:
        session.add(Link(campaign_id=int(campaign), number=1, revision=1, kind="image", label="Leaves", url="https://shop.example/"))
        session.add(
            Event(
                occurred_at=clock.now(),
                entry=1,
                slot=0,
                campaign_id=int(campaign),
                number=1,
                member_id=1,
                kind=EventKind.CLICK,
                link=1,
                machine=False,
                rule="none/1",
            )
        )
    return campaign


def test_report_and_links_are_shown(admin, clicked):
    report = admin("GET", f"/campaigns/{clicked}/report").json
    links = admin("GET", f"/campaigns/{clicked}/links").json

    assert {"audience", "accepted", "rejected", "bounced", "unsubscribed", "complained", "opens", "clicks", "by_hour"} == report.keys()
    assert links["items"][0]["kind"] == "image"
    assert admin("GET", "/campaigns/99/report").status_code == 404


def test_events_leave_only_with_purpose_and_recipient(program, clicked, ground):
    bare, with_defaults = program("marketer"), program("marketer", purpose="Evaluation", recipient="Us")
    path = f"/campaigns/{clicked}/events"

    refused = bare("GET", path)
    assert (refused.status_code, refused.json["errors"][0]["parameter"]) == (422, "purpose")
    rows_shown = list(csv.DictReader(io.StringIO(with_defaults("GET", f"{path}?format=csv&type=click").get_data(as_text=True))))
    assert [(row["email"], row["kind"], row["label"]) for row in rows_shown] == [("m1@members.example", "image", "Leaves")]
    lines = bare("GET", f"{path}?purpose=a&recipient=b")
    assert lines.content_type == "application/x-ndjson"
    assert json.loads(lines.get_data())["member_id"] == "1"
    assert bare("GET", f"{path}?format=parquet&purpose=a&recipient=b").get_data().startswith(b"PAR1")
    with ground.reading() as session:
        assert [row.recipient for row in session.scalars(select(Provision).order_by(Provision.id))] == ["Us", "b", "b"]


def test_an_analyst_gets_events_without_addresses(program, clicked):
    answer = program("analyst", purpose="x", recipient="y")("GET", f"/campaigns/{clicked}/events")

    assert json.loads(answer.get_data())["email"] == "m•••@members.example"


def test_nothing_is_kept_of_a_campaign_that_is_refused(admin, ground):
    admin("POST", "/campaigns", {**CAMPAIGN, "lists": ["99"]})

    with ground.reading() as session:
        assert session.scalars(select(Campaign)).all() == []


def test_labels_and_the_place_in_the_archive_are_given_changed_and_filtered_by(admin, campaign, ground):
    assert admin("GET", f"/campaigns/{campaign}").json["labels"] == []
    made = admin("POST", "/campaigns", {**CAMPAIGN, "labels": [" spring ", "Sale", "sale"], "in_archive": False})
    assert (made.status_code, made.json["labels"], made.json["in_archive"]) == (201, ["Sale", "spring"], False)

    assert [row["id"] for row in admin("GET", "/campaigns?label=spring").json["items"]] == [made.json["id"]]
    assert admin("GET", "/campaigns?label=nothing").json == {"items": [], "next": None}
    assert admin("GET", "/campaigns?label=%00").status_code == 422
    with ground.writing() as session:
        session.get_one(Campaign, int(campaign)).status = "sent"
    changed = admin("PATCH", f"/campaigns/{campaign}", {"labels": ["books"], "in_archive": False})
    assert (changed.status_code, changed.json["labels"], changed.json["in_archive"]) == (200, ["books"], False)
    assert admin("PATCH", f"/campaigns/{campaign}", {"labels": [], "name": "Other"}).status_code == 409
    assert admin("GET", f"/campaigns/{campaign}").json["labels"] == ["books"]


@pytest.mark.parametrize("given", [["x" * 41], [str(number) for number in range(11)], ["a,b"], ["a\x1b"], "spring", [1]])
def test_labels_that_cannot_be_are_refused(admin, given):
    answer = admin("POST", "/campaigns", {**CAMPAIGN, "labels": given})
    assert (answer.status_code, answer.json["errors"][0]["pointer"].split("/")[1]) == (422, "labels")

"""Events leave as files that programs and spreadsheets read, in flat memory, and never without a purpose."""

import csv
import io
import json
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from kairan import clock
from kairan.models.audience import Member
from kairan.models.audit import AuditRow, Provision
from kairan.models.campaigns import Link
from mailer.reports import export, export_sources
from mailer.reports.export import Scope, Wanted
from tests.tracking.conftest import Sent
from tests.tracking.test_ingest import fetch, put


def read(sent: Sent, format_: str = "csv", type_: str | None = None, **options: Any) -> str:
    wanted = Wanted("events", format_, scope=Scope(sent.campaign_id, type=type_), **options)
    return b"".join(export.stream(sent.ground.database, wanted)).decode()


def test_csv_has_a_row_for_each_event(sent: Sent) -> None:
    sent.open(1)
    sent.click(2, link=sent.links["image"])
    sent.drain()

    header, opened, clicked = csv.reader(io.StringIO(read(sent)))

    assert header == ["occurred_at", "type", "member_id", "email", "link", "kind", "label", "machine", "rule", "client", "campaign_id"]
    assert opened[1:9] == ["open", "1", "m1@members.example", "", "", "", "false", "person/1"]
    assert clicked[1:9] == ["click", "2", "m2@members.example", str(sent.links["image"]), "image", "Autumn leaves", "false", "person/1"]
    assert opened[0].endswith("Z") and len(opened[0]) == len("2026-11-24T09:00:00.000Z")


def test_json_lines_keep_numbers_and_nothing(sent: Sent) -> None:
    sent.click(1)
    sent.open(2)
    sent.drain()
    with sent.ground.writing() as session:
        session.execute(delete(Member).where(Member.id == 2))

    clicked, opened = [json.loads(line) for line in read(sent, format_="jsonl").splitlines()]

    assert (clicked["link"], clicked["machine"], clicked["member_id"]) == (sent.links["text"], False, "1")
    assert (opened["link"], opened["label"], opened["email"]) == (None, None, None)


def test_addresses_are_masked_for_who_may_not_see_them(sent: Sent) -> None:
    sent.open(1)
    sent.drain()

    assert [json.loads(line)["email"] for line in read(sent, format_="jsonl", mask=True).splitlines()] == ["m•••@members.example"]


def test_one_type_alone(sent: Sent) -> None:
    sent.open(1)
    sent.click(1)
    sent.drain()

    assert [json.loads(line)["type"] for line in read(sent, format_="jsonl", type_="click").splitlines()] == ["click"]


def test_pages_meet_without_gap_or_overlap(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = fetch(sent)
    put(sent, *[one._replace(number=1 + step % 4, kind=2, link=sent.links["text"], ms=one.ms + step // 8 * 2_000) for step in range(40)])
    put(sent, *[one._replace(number=1 + step % 4) for step in range(4)])
    sent.drain()
    whole = read(sent)
    monkeypatch.setattr(export_sources, "PAGE", 3)

    assert read(sent) == whole
    assert len(whole.splitlines()) == 1 + 24


def test_a_spreadsheet_runs_nothing(sent: Sent) -> None:
    with sent.ground.writing() as session:
        session.execute(update(Link).where(Link.number == sent.links["text"]).values(label='=HYPERLINK("x")\nbuy'))
    sent.click(1)
    sent.drain()

    raw = list(csv.reader(io.StringIO(read(sent), newline="")))
    safe = read(sent, spreadsheet=True)

    assert raw[1][6] == '=HYPERLINK("x")\nbuy'
    assert safe.startswith("\N{ZERO WIDTH NO-BREAK SPACE}occurred_at")
    assert list(csv.reader(io.StringIO(safe, newline="")))[1][6] == '\'=HYPERLINK("x")\nbuy'


@pytest.mark.parametrize(
    "text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋A1", "－A1", "＠A1", "  =1", "-1+cmd|' /C calc'!A0"]
)
def test_what_a_spreadsheet_would_run_is_made_text(text: str) -> None:
    assert export.formula_safe(text) == "'" + text


@pytest.mark.parametrize("text", ["", "Autumn", "a=b", "-5", "+81 3 1234 5678", "-0.5", "山田"])
def test_what_it_would_not_run_stays_as_it_is(text: str) -> None:
    assert export.formula_safe(text) == text


@pytest.mark.parametrize(
    ("purpose", "recipient", "field"),
    [("", "us", "purpose"), ("  ", "us", "purpose"), ("why", "", "recipient"), ("why", "x" * 501, "recipient")],
)
def test_without_purpose_and_recipient_nothing_leaves(sent: Sent, purpose: str, recipient: str, field: str) -> None:
    with sent.ground.writing() as session, pytest.raises(export.MissingPurpose) as missing:
        export.provide(session, sent.campaign_id, actor="token:1", purpose=purpose, recipient=recipient, now=clock.now())

    assert missing.value.field == field
    with sent.ground.reading() as session:
        assert session.scalars(select(Provision)).all() == []


def test_what_leaves_is_in_the_register_and_in_the_audit(sent: Sent) -> None:
    with sent.ground.writing() as session:
        export.provide(session, sent.campaign_id, actor="token:1", purpose="Yearly study", recipient="University", now=clock.now())

    with sent.ground.reading() as session:
        provision = session.scalars(select(Provision)).one()
        audit = session.scalars(select(AuditRow)).one()
    assert (provision.what, provision.purpose, provision.recipient, provision.object_id) == (
        "events",
        "Yearly study",
        "University",
        sent.campaign_id,
    )
    assert (audit.actor, audit.action, audit.object_id, audit.detail) == (
        "token:1",
        "export.events",
        sent.campaign_id,
        {"provision": provision.id},
    )

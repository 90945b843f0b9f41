"""Personal data leaves only with a purpose and a recipient, and opens in a spreadsheet as what it is."""

import csv
import io

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import Member
from kairan.models.audit import AuditRow, Provision
from kairan.models.campaigns import Link
from kairan.models.events import Event, EventKind
from mailer.reports import export

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ASKED = {"purpose": "Evaluation", "recipient": "Marketing department"}


@pytest.fixture
def campaign(admin, ground) -> str:
    path = admin.post("/campaigns/new", {"name": "Autumn", "start": "letter"}).location.removesuffix("/recipients")
    now = clock.now()
    with ground.writing() as session:
        key = ground.secrets.address_key("hanako@example.com")
        session.add(Member(email="hanako@example.com", address_key=key, created_at=now, updated_at=now))
        session.add(Link(campaign_id=1, number=1, revision=1, kind="text", label="=1+1 続きを読む", url="https://example.org/"))
        for entry in range(5):
            session.add(
                Event(
                    occurred_at=now,
                    entry=entry,
                    slot=0,
                    campaign_id=1,
                    number=1,
                    member_id=1,
                    kind=EventKind.CLICK,
                    link=1,
                    machine=False,
                    rule="none/1",
                )
            )
    return path


def _rows(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


def test_an_export_without_purpose_or_recipient_is_refused(admin, campaign, ground):
    assert admin.post(f"{campaign}/export", {**ASKED, "recipient": " "}).status_code == 422
    with ground.reading() as session:
        assert session.scalars(select(Provision)).all() == []


def test_an_export_is_written_into_the_register_and_the_audit_log(admin, campaign, ground, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 2)

    answer = admin.post(f"{campaign}/export", ASKED)

    rows = _rows(answer)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="events-1.csv"'
    assert len(rows) == 5
    assert rows[0]["email"] == "hanako@example.com"
    assert rows[0]["type"] == "click"
    assert rows[0]["label"] == "'=1+1 続きを読む"
    with ground.reading() as session:
        assert [(row.purpose, row.recipient) for row in session.scalars(select(Provision))] == [("Evaluation", "Marketing department")]
        assert session.scalar(select(AuditRow.actor).where(AuditRow.action == "export.events")) == "account:1"


def test_an_analyst_exports_masked_addresses(signed_in, campaign):
    rows = _rows(signed_in("analyst").post(f"{campaign}/export", ASKED))

    assert {row["email"] for row in rows} == {"h•••@example.com"}

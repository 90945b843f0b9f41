"""Personal data leaves only with a purpose and a recipient, and opens in a spreadsheet as what it is."""

import csv
import io
from datetime import timedelta

import openpyxl
import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan import runtime as process
from kairan.models.audience import Member
from kairan.models.audit import AuditRow, Provision
from kairan.models.campaigns import Link
from kairan.models.events import Event, EventKind
from kairan.models.jobs import Job
from mailer.reports import jobs as export_jobs

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
COLUMNS = ["occurred_at", "type", "member_id", "email", "label"]
ASKED = {"purpose": "Evaluation", "recipient": "Marketing department", "format": "csv", "columns": COLUMNS}


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


@pytest.fixture
def made(ground):
    """Works the job that a posted form has begun; answers with its id."""

    def work(answer) -> int:
        assert answer.status_code == 303, answer.get_data(as_text=True)
        job_id = int(answer.location.rpartition("/")[2])
        process.use(ground)
        export_jobs.run_export(job_id)
        return job_id

    yield work
    process.use(None)


def _rows(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


def test_an_export_without_purpose_or_recipient_is_refused(admin, campaign, ground):
    assert admin.post(f"{campaign}/export", {**ASKED, "recipient": " "}).status_code == 422
    with ground.reading() as session:
        assert session.scalars(select(Provision)).all() == []
        assert session.scalars(select(Job)).all() == []


def test_an_export_is_written_into_the_register_and_the_audit_log(admin, campaign, ground, made):
    job_id = made(admin.post(f"{campaign}/export", ASKED))

    answer = admin.get(f"/jobs/{job_id}/file")

    rows = _rows(answer)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="events-1.csv"'
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == ("nosniff", "no-store")
    assert len(rows) == 5
    assert rows[0]["email"] == "hanako@example.com"
    assert rows[0]["label"] == "'=1+1 続きを読む"
    with ground.reading() as session:
        assert [(row.purpose, row.recipient) for row in session.scalars(select(Provision))] == [("Evaluation", "Marketing department")]
        acts = session.execute(select(AuditRow.actor, AuditRow.action).where(AuditRow.action.startswith("export"))).all()
        assert acts == [("account:1", "export.events"), ("account:1", "export.download")]


def test_an_analyst_exports_masked_addresses(signed_in, campaign, made):
    analyst = signed_in("analyst")

    rows = _rows(analyst.get(f"/jobs/{made(analyst.post(f'{campaign}/export', ASKED))}/file"))

    assert {row["email"] for row in rows} == {"h•••@example.com"}


def test_only_the_chosen_columns_are_in_it(admin, campaign, made):
    chosen = {**ASKED, "columns": ["email", "type"]}

    assert _rows(admin.get(f"/jobs/{made(admin.post(f'{campaign}/export', chosen))}/file"))[0].keys() == {"email", "type"}
    assert admin.post(f"{campaign}/export", {**ASKED, "columns": []}).status_code == 422
    assert admin.post(f"{campaign}/export", {**ASKED, "columns": "password"}).status_code == 422


def test_figures_leave_without_a_question(signed_in, campaign, ground, made):
    analyst = signed_in("analyst")

    job_id = made(analyst.post(f"{campaign}/export?what=links", {"format": "xlsx", "columns": ["label", "clicks"]}))

    sheet = openpyxl.load_workbook(io.BytesIO(analyst.get(f"/jobs/{job_id}/file").get_data())).active
    assert list(sheet.iter_rows(values_only=True)) == [("label", "clicks"), ("=1+1 続きを読む", 0)]
    assert analyst.get("/reports/export").status_code == 200
    with ground.reading() as session:
        assert session.scalars(select(Provision)).all() == []


def test_members_are_for_those_who_may_export_them(signed_in, admin, campaign, made):
    assert signed_in("analyst").get("/audience/members/export").status_code == 403
    assert signed_in("analyst").post("/audience/members/export", ASKED).status_code == 403

    job_id = made(admin.post("/audience/members/export", {**ASKED, "columns": ["member_id", "email"]}))

    assert _rows(admin.get(f"/jobs/{job_id}/file")) == [{"member_id": "1", "email": "hanako@example.com"}]


def test_a_file_is_for_who_asked_and_administrators(signed_in, admin, campaign, made):
    marketer = signed_in("marketer")
    job_id = made(marketer.post(f"{campaign}/export", ASKED))

    assert signed_in("analyst").get(f"/jobs/{job_id}/file").status_code == 404
    assert signed_in("analyst").post(f"/jobs/{job_id}/cancel").status_code == 404
    assert "somebody else" in signed_in("analyst").get(f"/jobs/{job_id}").get_data(as_text=True)
    assert marketer.get(f"/jobs/{job_id}/file").status_code == 200
    assert admin.get(f"/jobs/{job_id}/file").status_code == 200


def test_the_download_ends_after_a_day(admin, campaign, ground, made):
    job_id = made(admin.post(f"{campaign}/export", ASKED))
    assert f"/jobs/{job_id}/file" in admin.get(f"/jobs/{job_id}").get_data(as_text=True)
    with ground.writing() as session:
        session.execute(update(Job).values(ended_at=clock.now() - timedelta(hours=25)))

    page = admin.get(f"/jobs/{job_id}").get_data(as_text=True)

    assert "The download has ended" in page and f"/jobs/{job_id}/file" not in page
    assert admin.get(f"/jobs/{job_id}/file").status_code == 404


def test_one_that_waits_is_cancelled_from_its_page(admin, campaign, ground):
    answer = admin.post(f"{campaign}/export", ASKED)
    assert f"{answer.location}/cancel" in admin.get(answer.location).get_data(as_text=True)

    admin.post(f"{answer.location}/cancel")

    with ground.reading() as session:
        assert session.scalar(select(Job.state)) == "stopped"
    assert "Cancelled" in admin.get(answer.location).get_data(as_text=True)
    assert admin.get("/jobs").status_code == 200


@pytest.mark.parametrize("path", ["/campaigns/99/export", "/campaigns/1/export?what=members", "/audience/members/export?list=99"])
def test_what_is_not_there_is_not_exported(admin, campaign, path):
    assert admin.get(path).status_code == 404
    assert admin.post(path, {**ASKED, "columns": ["member_id"]}).status_code == 404

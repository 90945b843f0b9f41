"""A program asks for an export, sees how far it is, and fetches its file for a day."""

import csv
import io

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan import runtime as process
from kairan.models.audit import Provision
from kairan.models.jobs import Job
from mailer.reports import export_files
from mailer.reports import jobs as export_jobs

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MEMBERS = {"what": "members", "columns": ["member_id", "email"], "purpose": "Evaluation", "recipient": "Us"}


@pytest.fixture
def work(ground):
    def run(answer) -> str:
        assert answer.status_code == 202, answer.json
        process.use(ground)
        export_jobs.run_export(int(answer.json["job"]))
        return f"/exports/{answer.json['job']}"

    yield run
    process.use(None)


def test_members_from_asking_to_file(admin, news, work):
    asked = admin("POST", "/exports", MEMBERS)
    path = work(asked)

    shown = admin("GET", path).json
    file = admin("GET", f"{path}/file")

    assert asked.headers["Location"] == f"/api/v1{path}"
    assert (shown["state"], shown["done"], shown["file"]) == ("done", 3, f"/api/v1{path}/file")
    rows = list(csv.DictReader(io.StringIO(file.get_data(as_text=True))))
    assert [row["email"] for row in rows] == ["m1@members.example", "m2@members.example", "m3@members.example"]
    assert file.headers["Content-Disposition"] == 'attachment; filename="members.csv"'


def test_personal_data_needs_a_purpose_or_the_tokens_own(program, news, ground):
    bare = {"what": "members"}

    refused = program("marketer")("POST", "/exports", bare)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "#/purpose")
    assert program("marketer", purpose="Evaluation", recipient="Us")("POST", "/exports", bare).status_code == 202
    assert program("analyst")("POST", "/exports", {"what": "campaigns"}).status_code == 202
    with ground.reading() as session:
        assert [(row.what, row.recipient) for row in session.scalars(select(Provision))] == [("members", "Us")]


def test_a_role_exports_what_it_covers(program, news):
    assert program("analyst")("POST", "/exports", MEMBERS).status_code == 403
    assert program("analyst", purpose="x", recipient="y")("POST", "/exports", {"what": "events"}).status_code == 202


def test_what_is_not_there_is_refused(admin, news):
    for wrong, field in (({"columns": ["password"]}, "columns"), ({"list": "99"}, "list"), ({"campaign": "99"}, "campaign")):
        answer = admin("POST", "/exports", {**MEMBERS, **wrong})
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, f"#/{field}")
    assert admin("POST", "/exports", {"what": "passwords"}).status_code == 422


def test_a_file_is_for_the_token_that_asked_and_administrators(program, admin, news, work):
    path = work(program("marketer")("POST", "/exports", MEMBERS))

    for end in ("", "/file"):
        assert program("marketer")("GET", f"{path}{end}").status_code == 404
        assert admin("GET", f"{path}{end}").status_code == 200
    assert program("marketer")("POST", f"{path}/cancel").status_code == 404


def test_the_file_is_gone_after_a_day(admin, news, work, ground):
    path = work(admin("POST", "/exports", MEMBERS))
    with ground.writing() as session:
        session.execute(update(Job).values(ended_at=clock.now() - export_files.KEPT))

    assert admin("GET", path).json["file"] is None
    assert admin("GET", f"{path}/file").status_code == 404


def test_one_is_cancelled(admin, news):
    path = f"/exports/{admin('POST', '/exports', MEMBERS).json['job']}"

    assert admin("POST", f"{path}/cancel").status_code == 204
    assert admin("GET", path).json["state"] == "stopped"


def test_the_same_key_begins_one_export(admin, news, ground):
    for _ in range(2):
        assert admin("POST", "/exports", MEMBERS, headers={"Idempotency-Key": "one"}).status_code == 202

    with ground.reading() as session:
        assert len(session.scalars(select(Job.id)).all()) == 1

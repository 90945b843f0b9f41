"""Lists, imports and the suppression list, as a marketer works with them."""

import io

import pytest
from sqlalchemy import select

from kairan import clock, jobs
from kairan.models.audience import List, Purpose
from kairan.models.jobs import Job, JobFile
from kairan.models.suppression import Suppression

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def news(admin) -> str:
    return admin.post("/audience/lists", {"name": "Club news", "purpose": "News of the club", "public": "yes"}).location


def test_a_list_is_made_with_its_purpose(admin, news, ground):
    second = admin.post("/audience/lists", {"name": "Shop", "purpose": "News of the club"})
    again = admin.post("/audience/lists", {"name": "Club news", "purpose": "Something else"})

    assert news == "/audience/lists/1"
    assert second.status_code == 303
    assert again.status_code == 422
    assert "There is a list of this name already." in again.get_data(as_text=True)
    with ground.reading() as session:
        assert session.scalars(select(Purpose.name)).all() == ["News of the club"]
        assert [row.public for row in session.scalars(select(List).order_by(List.id))] == [True, False]


def test_a_file_of_members_becomes_a_job_with_its_consent(admin, news, ground):
    data = {
        "csrf_token": admin.csrf,
        "list": "1",
        "consent": "Yes, send me news.",
        "consent_at": "2026-01-31",
        "file": (io.BytesIO(b"email,first_name\nhanako@example.com,Hanako\n"), "members.csv"),
    }
    answer = admin.client.post("/audience/imports", data=data, headers={"Sec-Fetch-Site": "same-origin"})

    assert answer.location == "/jobs/1"
    with ground.reading() as session:
        job = session.get_one(Job, 1)
        upload = session.scalar(select(JobFile.data).where(JobFile.job_id == 1, JobFile.name == "upload"))
    assert job.arguments["consent"] == "Yes, send me news."
    assert job.arguments["consent_at"].startswith("2026-01-31")
    assert job.arguments["source"] == "members.csv"
    assert upload.startswith(b"email,first_name")
    assert "members.csv" in admin.get("/jobs/1").get_data(as_text=True)


def test_an_import_without_file_or_with_a_day_to_come_is_told_and_nothing_typed_is_lost(admin, news):
    answer = admin.post("/audience/imports", {"list": "1", "consent": "Yes <b>please</b>", "consent_at": "2999-01-01"})

    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "Choose a CSV file." in page
    assert "This day is still to come." in page
    assert "Yes &lt;b&gt;please&lt;/b&gt;" in page


def test_refused_rows_are_given_back_as_a_file(admin, ground):
    with ground.writing() as session:
        job = jobs.create(session, "import", {}, now=clock.now())
        session.add(JobFile(job_id=job.id, name="rejected", piece=0, data=b"line,email,reason\n2,x,bad\n"))

    answer = admin.get("/jobs/1/rejected.csv")

    assert answer.get_data() == b"line,email,reason\n2,x,bad\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="rejected-1.csv"'
    assert admin.get("/jobs/2/rejected.csv").status_code == 404


def test_an_address_is_suppressed_once(admin, ground):
    first = admin.post("/audience/suppressions", {"email": "Gone@Example.com", "note": "by telephone"})
    admin.post("/audience/suppressions", {"email": "gone@example.com"})

    assert first.status_code == 303
    with ground.reading() as session:
        assert [(row.reason, row.note) for row in session.scalars(select(Suppression))] == [("staff", "by telephone")]
    assert "by telephone" in admin.get("/audience/suppressions?q=gone@example.com").get_data(as_text=True)


def test_a_member_is_added_with_the_words_they_agreed_to(admin, news):
    typed = {"email": "hanako@example.com", "first_name": "Hanako", "locale": "ja", "lists": "1", "consent": "Yes, by telephone."}

    wrong = admin.post("/audience/members/new", {**typed, "email": "hanako@"})
    added = admin.post("/audience/members/new", typed)
    again = admin.post("/audience/members/new", typed)

    assert wrong.status_code == 422
    assert 'value="Hanako"' in wrong.get_data(as_text=True)
    assert added.location == again.location == "/audience/members/1"
    page = admin.get("/audience/members/1").get_data(as_text=True)
    assert "Yes, by telephone." in page
    assert "Consent for “News of the club” since" in page

"""The suppression list as staff work with it: who put an address there, whole domains, files, and a release that gives its reason."""

import io

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import Member
from kairan.models.audit import AuditRow
from kairan.models.consent import ConsentRow, ConsentSource
from kairan.models.jobs import Job
from kairan.models.suppression import SuppressedDomain, Suppression, SuppressionReason
from mailer.audience import suppression_import
from mailer.reports import jobs as export_jobs
from tests.support.ground import make_list, make_members
from unsubscribe import consent, suppression

LIST = "/audience/suppressions"


@pytest.fixture
def members(ground) -> None:
    with ground.writing() as session:
        make_members(session, 3, make_list(session))


def _suppress(ground, member_id: int, reason: SuppressionReason, **how: object) -> str:
    """The path of its release."""
    with ground.writing() as session:
        suppression.suppress(session, member_id, reason, now=clock.now(), **how)
        return f"{LIST}/{session.get_one(Member, member_id).address_key.hex()}/release"


def _audit(ground) -> list[str]:
    with ground.reading() as session:
        return list(session.scalars(select(AuditRow.action).order_by(AuditRow.id)))


def test_the_list_says_by_whom_and_through_which_door(admin, ground, members):
    admin.post(LIST, {"email": "gone@example.com", "note": "by telephone"})
    _suppress(ground, 1, SuppressionReason.BOUNCED)
    with ground.writing() as session:
        consent.leave_all(session, 2, source=ConsentSource.ONE_CLICK, now=clock.now())

    page = admin.get(LIST).get_data(as_text=True)

    assert "admin@example.org<small>Staff</small>" in page
    assert "The member<small>One-click unsubscribe</small>" in page
    assert "<span>Bounce</span>" in page


def test_a_release_needs_a_reason_and_keeps_it(admin, ground, members):
    path = _suppress(ground, 1, SuppressionReason.STAFF)

    assert admin.post(path, {"note": " "}).status_code == 422
    assert admin.post(path, {"note": "asked by letter"}).status_code == 303

    with ground.reading() as session:
        assert session.scalars(select(Suppression)).all() == []
        assert session.scalars(select(ConsentRow).order_by(ConsentRow.id.desc())).first().detail["note"] == "asked by letter"
    assert _audit(ground) == ["suppression.release"]
    assert admin.get(path).status_code == 404


def test_a_complaint_is_released_only_after_the_members_own_act(admin, ground, members, visitor):
    path = _suppress(ground, 1, SuppressionReason.COMPLAINT)
    member_page = f"/p/{ground.secrets.tokens.act(1, 0)}"

    assert "The member has to ask first" in admin.get(path).get_data(as_text=True)
    assert admin.post(path, {"note": "they telephoned"}).status_code == 409
    visitor.post(member_page, data={"all": "return"})
    with ground.reading() as session:
        assert suppression.reasons(session, [1]) == {1: "complaint"}
    assert "The member has asked for mail again" in admin.get(path).get_data(as_text=True)
    assert admin.post(path, {"note": "they telephoned"}).status_code == 303

    with ground.reading() as session:
        assert suppression.reasons(session, [1]) == {}


def test_who_asked_again_asks_once_and_a_new_complaint_counts_anew(ground, members, visitor):
    _suppress(ground, 1, SuppressionReason.COMPLAINT)
    member_page = f"/p/{ground.secrets.tokens.act(1, 0)}"

    for _ in range(3):
        visitor.post(member_page, data={"all": "return"})

    with ground.writing() as session:
        acts = session.scalars(select(ConsentRow.act).order_by(ConsentRow.id)).all()
        entry = session.scalars(select(Suppression)).one()
        entry.created_at = clock.now()
        assert acts == ["suppress", "return"]
        assert not suppression.has_asked_again(session, entry)
        session.rollback()


@pytest.mark.parametrize("key", ["00", "x", "f" * 32])
def test_what_is_not_on_the_list_is_not_released(admin, key):
    assert admin.get(f"{LIST}/{key}/release").status_code == 404
    assert admin.post(f"{LIST}/{key}/release", {"note": "x"}).status_code == 404


def test_an_erased_address_is_not_let_in_by_staff(admin, ground, members):
    path = _suppress(ground, 1, SuppressionReason.ERASED)

    assert "Only they themselves can come back" in admin.get(path).get_data(as_text=True)
    assert admin.post(path, {"note": "x"}).status_code == 409


def test_a_domain_is_asked_again_by_naming_what_will_happen(admin, ground, members):
    wrong = admin.post(f"{LIST}/domains", {"domain": "no domain", "note": "typed"})
    asked = admin.post(f"{LIST}/domains", {"domain": "Members.Example", "note": "closed down"}).get_data(as_text=True)

    assert wrong.status_code == 422
    assert 'value="no domain"' in wrong.get_data(as_text=True)
    assert "No more mail to any address at members.example?" in asked
    assert "3 members have an address there" in asked
    with ground.reading() as session:
        assert session.scalars(select(SuppressedDomain)).all() == []

    admin.post(f"{LIST}/domains", {"domain": "Members.Example", "note": "closed down", "seen": "yes"})

    page = admin.get(f"{LIST}/domains").get_data(as_text=True)
    assert "closed down" in page and "admin@example.org" in page
    assert "The domain is suppressed" in admin.get("/audience/members/1").get_data(as_text=True)
    admin.post(f"{LIST}/domains/release", {"domain": "members.example"})
    assert admin.post(f"{LIST}/domains/release", {"domain": "members.example"}).status_code == 404
    assert _audit(ground) == ["suppression.domain.add", "suppression.domain.release"]


def test_a_file_is_put_on_the_list_by_a_job(admin, ground):
    assert admin.post(f"{LIST}/import").status_code == 422
    file = (io.BytesIO(b"email,note\na@example.com,gone\nnot one,\n"), "no-mail.csv")
    answer = admin.post(f"{LIST}/import", {"file": file}, content_type="multipart/form-data")
    with ground.reading() as session:
        job = session.scalars(select(Job)).one()
    suppression_import.run(job.id)

    assert answer.location == f"/jobs/{job.id}"
    page = admin.get(f"/jobs/{job.id}").get_data(as_text=True)
    assert "no-mail.csv" in page and "/rejected.csv" in page
    assert "no-mail.csv" in admin.get(f"{LIST}/import").get_data(as_text=True)
    with ground.reading() as session:
        entry = session.scalars(select(Suppression)).one()
    assert (entry.note, entry.source, entry.actor) == ("gone", "import", "account:1")


def test_the_list_is_exported_with_a_purpose(admin, ground, members):
    _suppress(ground, 1, SuppressionReason.STAFF, actor="account:1")
    asked = {"format": "csv", "columns": ["email", "reason", "actor"]}

    assert admin.post(f"{LIST}/export", asked).status_code == 422
    answer = admin.post(f"{LIST}/export", {**asked, "purpose": "Move to another system", "recipient": "Ourselves"})
    export_jobs.run_export(1)

    assert answer.location == "/jobs/1"
    assert admin.get("/jobs/1/file").get_data().decode("utf-8-sig").splitlines()[1] == "m1@members.example,staff,account:1"


@pytest.mark.parametrize(("role", "code"), [("analyst", 403), ("marketer", 200), ("privacy_officer", 200)])
def test_only_who_may_change_the_list_reaches_its_forms(signed_in, ground, members, role, code):
    path = _suppress(ground, 1, SuppressionReason.STAFF)
    person = signed_in(role)

    for page in (f"{LIST}/domains", f"{LIST}/import", path):
        assert person.get(page).status_code == code, page

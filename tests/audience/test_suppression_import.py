"""A file of suppressions: addresses, domains and what an export wrote; it only ever adds."""

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import List
from kairan.models.consent import ConsentRow
from kairan.models.jobs import Job, JobFile, JobState
from kairan.models.suppression import SuppressedDomain, Suppression, SuppressionReason
from mailer.audience import csv_import, suppression_import
from mailer.reports import export_sources
from tests.audience.conftest import Audience
from tests.support.ground import NOW, make_members
from unsubscribe import suppression


def _load(audience: Audience, data: str | bytes) -> Job:
    with audience.ground.writing() as session:
        job = suppression_import.start(session, actor="account:1", by=None, now=clock.now(), source="no-mail.csv")
    csv_import.store_upload(audience.ground, job, [data if isinstance(data, bytes) else data.encode()])
    audience.jobs.append(job.id)
    suppression_import.run(job.id)
    return audience.job(job.id)


def _reasons(audience: Audience) -> dict[str, str]:
    """What stands on the list for a@x.example to f@x.example."""
    key = audience.ground.secrets.address_key
    with audience.ground.reading() as session:
        found = {bytes(row.address_key): row.reason for row in session.execute(select(Suppression)).scalars()}
    return {name: found[key(f"{name}@x.example")] for name in "abcdef" if key(f"{name}@x.example") in found}


def test_each_row_is_put_on_the_list_with_its_reason_by_whoever_brought_it(audience: Audience):
    job = _load(
        audience,
        "Email;Reason;Note\na@X.example;unsubscribed;left the old system\nb@x.example;Complaint;\nc@x.example;;\nd@x.example;odd;\n",
    )

    assert (job.state, job.done, job.errors, job.result["imported"]) == ("done", 4, 0, 4)
    assert _reasons(audience) == {"a": "unsubscribed", "b": "complaint", "c": "staff", "d": "staff"}
    with audience.ground.reading() as session:
        (first,) = session.execute(select(Suppression).where(Suppression.reason == "unsubscribed")).scalars()
    assert (first.note, first.source, first.actor) == ("left the old system", "import", "account:1")


def test_domains_stand_beside_addresses(audience: Audience):
    job = _load(audience, "email,domain\na@x.example,\n,Closed.Example\n,bücher.example\n,\nno domain,\n,not a domain\n")

    assert (job.done, job.errors, job.result["imported"]) == (5, 2, 3)
    with audience.ground.reading() as session:
        domains = session.execute(select(SuppressedDomain.domain, SuppressedDomain.actor).order_by(SuppressedDomain.domain)).all()
    assert domains == [("closed.example", "account:1"), ("xn--bcher-kva.example", "account:1")]
    assert audience.rejected().count("the address is not valid") == 2


@pytest.mark.parametrize(
    "data",
    [
        "a@x.example\nb@x.example\n",
        "\ufeffa@x.example\r\nb@x.example",
        "メールアドレス\na@x.example\nb@x.example\na@X.EXAMPLE\n",
        "a@x.example\rb@x.example\r",
    ],
)
def test_a_bare_list_of_addresses_does_too(audience: Audience, data: str):
    assert _load(audience, data).state == "done"
    assert _reasons(audience) == {"a": "staff", "b": "staff"}


@pytest.mark.parametrize("data", ["", "\ufeff\n", "name,city\nx,y\n", "email\n", b"\xff\xfee\x00m\x00"])
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(audience: Audience, data: str | bytes):
    job = _load(audience, data)

    assert job.state == "failed"
    assert job.failure is not None and job.failure.endswith((".", "note"))
    assert _reasons(audience) == {}


def test_a_stronger_reason_stays_and_a_weaker_one_is_replaced(audience: Audience):
    with audience.ground.writing() as session:
        for name, reason in (("a", SuppressionReason.COMPLAINT), ("b", SuppressionReason.UNSUBSCRIBED), ("c", SuppressionReason.ERASED)):
            suppression.suppress_address(session, audience.ground.secrets.address_key(f"{name}@x.example"), reason, now=NOW)

    job = _load(audience, "email,reason\na@x.example,staff\nb@x.example,staff\nc@x.example,complaint\n")

    assert job.result["imported"] == 1
    assert _reasons(audience) == {"a": "complaint", "b": "staff", "c": "erased"}


def test_members_among_them_keep_it_in_their_ledger(audience: Audience):
    with audience.ground.writing() as session:
        make_members(session, 2, session.get_one(List, audience.list_id), domain="x.example")

    _load(audience, "email\nm2@x.example\nstranger@x.example\n")

    with audience.ground.reading() as session:
        rows = session.execute(select(ConsentRow)).scalars().all()
        assert [(row.member_id, row.act, row.source, row.detail) for row in rows] == [(2, "suppress", "import", {"reason": "staff"})]
        assert suppression.reasons(session, [1, 2]) == {2: "staff"}


def test_what_an_export_wrote_is_read_back_by_its_key(audience: Audience):
    _load(audience, "email,domain,reason,note\na@x.example,,complaint,said so\n,closed.example,,\n")
    with audience.ground.reading() as session:
        columns = export_sources.SOURCES["suppressions"].columns(session)
        assert export_sources.SOURCES["suppressions"].total(session, export_sources.Scope()) == 2
    pages = export_sources.SOURCES["suppressions"].pages(audience.ground.database, export_sources.Scope(), columns)
    rows = [row for page in pages for row in page]
    text = ",".join(column.name for column in columns) + "\n" + "".join(",".join(str(cell or "") for cell in row) + "\n" for row in rows)
    with audience.ground.writing() as session:
        for table in (Suppression, SuppressedDomain):
            session.execute(table.__table__.delete())

    job = _load(audience, text)

    assert (job.errors, job.result["imported"]) == (0, 2)
    assert _reasons(audience) == {"a": "complaint"}


def test_a_job_that_begins_again_adds_nothing_twice(audience: Audience):
    job = _load(audience, "email\na@x.example\nnot one\n")
    with audience.ground.writing() as session:
        row = session.get_one(Job, job.id)
        row.state = JobState.QUEUED
    csv = b"email\na@x.example\nb@x.example\nnot one\n"
    with audience.ground.writing() as session:
        session.add(JobFile(job_id=job.id, name=csv_import.UPLOAD, piece=0, data=csv))

    suppression_import.run(job.id)

    assert (audience.job(job.id).done, audience.job(job.id).result["imported"]) == (3, 1)
    assert audience.rejected().count("not one") == 1

"""A member file comes in whole or row by row with reasons, never twice, and never against a member's no."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from kairan import clock
from kairan.models.audience import Attribute, Subscription
from kairan.models.consent import ConsentRow, ConsentSource, Permission, Wording
from kairan.models.jobs import JobFile, JobState
from kairan.models.suppression import SuppressionReason
from mailer.audience import csv_import, jobs
from tests.audience.conftest import Audience
from unsubscribe import consent, suppression

HEADER = "email,first_name,last_name,locale\n"


def permitted(audience: Audience) -> list[int]:
    with audience.ground.reading() as session:
        return list(
            session.execute(select(Permission.member_id).where(Permission.withdrawn_at.is_(None)).order_by(Permission.member_id)).scalars()
        )


def in_list(audience: Audience) -> list[int]:
    with audience.ground.reading() as session:
        query = select(Subscription.member_id).where(Subscription.list_id == audience.list_id, Subscription.ended_at.is_(None))
        return list(session.execute(query.order_by(Subscription.member_id)).scalars())


def test_a_file_becomes_members_with_their_consent_and_its_wording(audience: Audience):
    job = audience.load(HEADER + "hana@books.example,Hana,佐藤,ja\nBob@Books.example,Bob,Hill,en_GB\n")

    assert (job.state, job.done, job.total, job.errors) == (JobState.DONE, 2, 2, 0)
    assert {(m.email, m.first_name, m.last_name, m.locale) for m in audience.members()} == {
        ("hana@books.example", "Hana", "佐藤", "ja"),
        ("Bob@Books.example", "Bob", "Hill", "en-GB"),
    }
    assert in_list(audience) == permitted(audience) == [m.id for m in audience.members()]
    with audience.ground.reading() as session:
        assert session.execute(select(Wording.text)).scalars().all() == ["Shop form: I want the newsletter"]
        assert session.execute(select(ConsentRow.act, ConsentRow.source).distinct()).all() == [("opt_in", "import")]


def test_time_zones_are_read_kept_and_filled_where_there_was_none(audience: Audience):
    audience.load("email,time_zone\na@x.example,Asia/Tokyo\nb@x.example,\n")
    job = audience.load("email,time_zone\na@x.example,Europe/Berlin\nb@x.example,Europe/Berlin\nc@x.example,Tokyo\n")

    found = {member.email: member.time_zone for member in audience.members()}
    assert found == {"a@x.example": "Asia/Tokyo", "b@x.example": "Europe/Berlin"}
    assert (job.done, job.errors) == (3, 1)


def test_without_consent_members_are_in_the_list_and_not_consented(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n", consent=None)

    assert len(in_list(audience)) == 1
    assert permitted(audience) == []


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_usual_kinds_of_csv_are_read(audience: Audience, mark: str, delimiter: str, newline: str):
    rows = [["E-Mail", "first_name", "Favourite colour"], ["a@x.example", "Ann", '"deep\u3000blue, or so"'], ["b@x.example", "Bea", ""]]
    text = mark + newline.join(delimiter.join(row) for row in rows) + newline

    job = audience.load(text)

    assert (job.failure, job.done, job.errors) == (None, 2, 0)
    found = {member.email: member for member in audience.members()}
    assert found["a@x.example"].attributes == {"favourite_colour": "deep\u3000blue, or so"}
    assert found["b@x.example"].attributes == {}
    with audience.ground.reading() as session:
        assert session.execute(select(Attribute.name)).scalars().all() == ["favourite_colour"]


def test_the_same_file_again_changes_no_member_and_doubles_nothing(audience: Audience):
    text = HEADER + "".join(f"m{n}@books.example,Name{n},,ja\n" for n in range(50))
    audience.load(text)
    before = [(m.id, m.email, m.first_name, m.updated_at) for m in audience.members()]

    job = audience.load(text)

    assert job.result["imported"] == 0
    assert job.result["merged"] == 50
    assert [(m.id, m.email, m.first_name, m.updated_at) for m in audience.members()] == before
    assert len(in_list(audience)) == 50


def test_a_known_member_gets_only_what_was_empty(audience: Audience):
    audience.load("email,first_name,city\nhana@books.example,Hana,\n")
    audience.load("email,first_name,last_name,city,size\nHANA@books.example,Other,Sato,Kobe,M\n")
    audience.load("email,city\nhana@books.example,Osaka\n")

    (member,) = audience.members()
    assert (member.email, member.first_name, member.last_name) == ("hana@books.example", "Hana", "Sato")
    assert member.attributes == {"city": "Kobe", "size": "M"}


def test_an_address_twice_in_the_file_is_one_member_and_counted_as_merged(audience: Audience):
    job = audience.load(HEADER + "hana@books.example,,Sato,\nｈana@books.example,Hana,,\n")

    assert (job.result["imported"], job.result["merged"], job.errors) == (1, 1, 0)
    (member,) = audience.members()
    assert (member.first_name, member.last_name) == ("Hana", "Sato")


def test_bad_rows_are_refused_one_by_one_with_line_and_reason_and_the_rest_comes_in(audience: Audience):
    rows = [
        b"a@x.example,Ann,,",
        b"b@x.example,ragged",
        b"not an address,,,",
        b",nobody,,",
        b'c@x.example,"open quote,,',
        b"d@x.example,Dora,,",
        b"e@x.example,\x83\x52,,ja",
        b"f@x.example,nul\x00,,",
        b"g@x.example," + b"x" * 20_000 + b",,",
        b"h@x.example," + b"x" * 10_000_000 + b",,",
        b"i@x.example,,,klingon!",
        b"=cmd|calc@x.example,,,",
        b"",
        b"k@x.example,=1+1,,",
    ]

    job = audience.load(HEADER.encode() + b"\n".join(rows) + b"\n")

    assert job.state == JobState.DONE
    assert sorted(m.email for m in audience.members()) == ["=cmd|calc@x.example", "a@x.example", "d@x.example", "k@x.example"]
    assert {m.first_name for m in audience.members()} == {"", "Ann", "Dora", "=1+1"}
    lines = audience.rejected().splitlines()
    assert lines[0] == "line,email,reason"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "4", "5", "6", "8", "9", "10", "11", "12"]
    assert "it has 2 cells and the first line has 4" in lines[1]
    assert "the row is too long" in lines[8]
    assert (job.done, job.errors) == (13, 9)
    assert job.result["imported"] + job.result["merged"] + job.errors == job.done


def test_the_file_of_refused_rows_holds_no_formula(audience: Audience):
    audience.load(HEADER + "=HYPERLINK(1),,,\n+1@,,,\n@x,,,\n")

    cells = [line.split(",")[1] for line in audience.rejected().splitlines()[1:]]
    assert cells == ["'=HYPERLINK(1)", "'+1@", "'@x"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "The file is empty."),
        (b"\xef\xbb\xbf\n", "The file is empty."),
        (HEADER.encode(), "The file has no row below its first line."),
        (b"name,phone\na,b\n", "no column “email”"),
        (b"email,first_name,email\na@x.example,,b\n", "stands twice"),
        (b"email,First Name,first_name\n", "stands twice"),
        (b"email,,x\na@x.example,,\n", "Column 2 has no name"),
        ("email,会員番号\n".encode(), "cannot name an attribute"),
        ("email,会員番号\n".encode("shift_jis"), "not in UTF-8"),
        ("email,x\na@x.example,1\n".encode("utf-16"), "not in UTF-8"),
        (b'email,"x\n', "cannot be read as the names"),
        (b"email" + b",x" * 200 + b"\n", "at most 100"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_cannot_be_imported_says_why_and_changes_nothing(audience: Audience, data: bytes, says: str):
    job = audience.load(data)

    assert job.state == JobState.FAILED
    assert says in (job.failure or "")
    assert audience.members() == []


def test_the_reasons_are_told_in_the_language_of_the_installation(audience: Audience):
    job = audience.load(b"")

    assert job.failure == "The file is empty."


def test_suppression_wins_over_the_file(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n")
    with audience.ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.COMPLAINT, now=clock.now())

    job = audience.load(HEADER + "hana@books.example,Hana,,\n", consent_at=clock.now())

    with audience.ground.reading() as session:
        assert suppression.reason_of(session, audience.members()[0].address_key) == SuppressionReason.COMPLAINT
    assert (job.errors, audience.members()[0].first_name) == (0, "Hana")


def test_an_erased_address_is_refused_with_its_line(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n")
    with audience.ground.writing() as session:
        consent.erase(session, 1, source=ConsentSource.STAFF, now=clock.now())

    job = audience.load(HEADER + "bob@books.example,,,\nHana@Books.example,,,\n")

    assert [m.email for m in audience.members()] == ["bob@books.example"]
    assert (job.done, job.errors) == (2, 1)
    assert audience.rejected().splitlines()[1].startswith("3,Hana@Books.example,this person had their data erased")


def test_a_topic_that_members_left_themselves_stays_left(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n")
    with audience.ground.writing() as session:
        consent.opt_out(session, 1, audience.list_id, source=ConsentSource.PAGE, now=clock.now())

    audience.load(HEADER + "hana@books.example,,,\n")
    audience.load(HEADER + "hana@books.example,,,\n", consent_at=clock.now() - timedelta(days=1))
    assert (in_list(audience), permitted(audience)) == ([], [])

    audience.load(HEADER + "hana@books.example,,,\n", consent_at=clock.now())
    assert (in_list(audience), permitted(audience)) == ([1], [1])


def test_a_member_whom_staff_took_out_comes_back_with_the_file_and_one_who_left_does_not(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n")
    audience.load(HEADER + "bob@books.example,,,\n")
    hana, bob = (member.id for member in audience.members())
    with audience.ground.writing() as session:
        consent.opt_out(session, hana, audience.list_id, source=ConsentSource.STAFF, now=clock.now())
        consent.opt_out(session, bob, audience.list_id, source=ConsentSource.ONE_CLICK, now=clock.now())

    audience.load(HEADER + "hana@books.example,,,\nbob@books.example,,,\n")

    assert (in_list(audience), permitted(audience)) == ([hana], [hana])


def test_an_upload_that_breaks_off_imports_nothing_and_says_so(audience: Audience):
    def breaking_off():
        yield (HEADER + "hana@books.example,,,\nbob@bo").encode()
        raise ConnectionError

    job = audience.start()
    with pytest.raises(ConnectionError):
        csv_import.store_upload(audience.ground, job, breaking_off())
    jobs.run_import(job.id)

    assert audience.job(job.id).state == JobState.FAILED
    assert "broken off" in (audience.job(job.id).failure or "")
    assert audience.members() == []


def test_an_upload_whose_process_died_is_told_as_broken_off_when_its_lease_is_over(audience: Audience, monkeypatch: pytest.MonkeyPatch):
    job = audience.start()
    jobs.run_import(job.id)
    assert audience.job(job.id).state == JobState.RUNNING

    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr("kairan.clock.now", lambda: later)
    jobs.run_import(job.id)

    assert "broken off" in (audience.job(job.id).failure or "")


def test_a_killed_import_goes_on_where_it_stood_and_doubles_nothing(audience: Audience, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "POSTGRES_BATCH", 100)
    monkeypatch.setattr(jobs, "SQLITE_BATCH", (100, 100))
    rows = [f"m{n}@books.example,Name{n},,ja\n" if n % 10 else "bad,,,\n" for n in range(1_000)]
    job = audience.start()
    csv_import.store_upload(audience.ground, job, [(HEADER + "".join(rows)).encode()])
    written = jobs._Import._write
    calls = iter(range(100))

    def dies(*arguments):
        if next(calls) in (3, 5):
            raise SystemExit
        return written(*arguments)

    monkeypatch.setattr(jobs._Import, "_write", dies)
    first = clock.now()
    for minutes in (0, 2, 4):
        monkeypatch.setattr("kairan.clock.now", lambda now=first + timedelta(minutes=minutes): now)
        try:
            jobs.run_import(job.id)
        except SystemExit:
            continue

    ended = audience.job(job.id)
    assert (ended.state, ended.attempt) == (JobState.DONE, 3)
    assert (ended.done, ended.errors, ended.result["imported"], ended.result["merged"]) == (1_000, 100, 900, 0)
    assert len(audience.members()) == len(in_list(audience)) == 900
    assert len(audience.rejected().splitlines()) == 101
    with audience.ground.reading() as session:
        assert session.execute(select(func.count()).select_from(ConsentRow)).scalar_one() == 900


def test_the_uploaded_file_is_gone_when_the_job_has_ended(audience: Audience):
    audience.load(HEADER + "hana@books.example,,,\n" + "x" * 3_000_000 + "\n")

    with audience.ground.reading() as session:
        assert session.execute(select(JobFile.name).distinct()).scalars().all() == ["rejected"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_over_the_limit_is_refused_while_it_comes_in(audience: Audience, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_import, "UPLOAD_MAX_BYTES", 2 << 20)
    job = audience.start()

    with pytest.raises(csv_import.UploadTooLarge):
        csv_import.store_upload(audience.ground, job, (b"x" * 65_536 for _ in range(1_000)))

    assert audience.job(job.id).state == JobState.FAILED

"""Lists, members, imports, suppressions and settings by API: what they do, and that a no holds."""

from sqlalchemy import func, select

from kairan import clock
from kairan import jobs as job_rows
from kairan.models.audience import Member
from kairan.models.audit import AuditRow
from kairan.models.consent import ConsentRow, ConsentSource
from kairan.models.jobs import Job, JobFile
from kairan.models.suppression import SuppressionReason
from kairan.queues import WORK
from mailer.audience import jobs as import_jobs
from mailer.audience import suppression_import
from unsubscribe import consent, suppression


def _actions(ground) -> list[tuple[str, str]]:
    with ground.reading() as session:
        return [(row.actor, row.action) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]


def test_a_list_is_made_shown_changed_and_its_name_is_its_own(admin, ground):
    made = admin("POST", "/lists", {"name": "News", "purpose": "Our newsletter", "public": True})
    assert (made.status_code, made.json["purpose"], made.json["public"]) == (201, "Our newsletter", True)
    assert made.headers["Location"] == f"/api/v1/lists/{made.json['id']}"

    assert admin("POST", "/lists", {"name": "News", "purpose": "x"}).status_code == 409
    changed = admin("PATCH", f"/lists/{made.json['id']}", {"name": "Letters"})
    assert (changed.json["name"], changed.json["public"]) == ("Letters", True)
    assert admin("GET", f"/lists/{made.json['id']}").json == changed.json
    assert admin("GET", "/lists").json == {"items": [changed.json], "next": None}
    assert _actions(ground) == [("token:1", "list.create"), ("token:1", "list.change")]


def test_a_public_archive_is_opened_under_a_slug_of_its_own(admin, news):
    made = admin("POST", "/lists", {"name": "Shop", "purpose": "News"}).json
    assert (made["public_archive"], made["slug"]) == (False, None)
    opened = admin("PATCH", f"/lists/{made['id']}", {"public_archive": True, "slug": "shop"})
    assert (opened.status_code, opened.json["public_archive"], opened.json["slug"]) == (200, True, "shop")
    assert admin.app.test_client().get("/archive/shop").status_code == 200

    taken = admin("PATCH", f"/lists/{news}", {"slug": "shop", "name": "Never written"})
    assert (taken.status_code, taken.json["type"][-10:], taken.json["errors"][0]["pointer"]) == (409, "slug-taken", "#/slug")
    wrong = admin("PATCH", f"/lists/{news}", {"slug": "The Shop"})
    assert (wrong.status_code, wrong.json["errors"][0]["pointer"]) == (422, "#/slug")
    assert admin("GET", f"/lists/{news}").json["name"] == "News"
    assert admin("PATCH", f"/lists/{made['id']}", {"slug": ""}).json["slug"] is None


def test_lists_come_in_pages(admin):
    ids = [admin("POST", "/lists", {"name": f"L{number}", "purpose": "x"}).json["id"] for number in range(3)]

    first = admin("GET", "/lists?limit=2").json
    rest = admin("GET", f"/lists?limit=2&cursor={first['next']}").json

    assert [row["id"] for row in first["items"] + rest["items"]] == ids
    assert rest["next"] is None
    assert admin("GET", "/lists?limit=1001").status_code == 422


def test_a_member_is_added_once_and_merged_after(admin, news, ground):
    given = {"email": "Hanako@Example.com", "lists": [news], "consent": {"source": "shop", "text": "I want news"}}
    new = admin("POST", "/members", given)
    merged = admin("POST", "/members", {"email": "hanako@example.com", "first_name": "Hanako", "attributes": {"plan": "gold"}})

    assert (new.status_code, merged.status_code) == (201, 200)
    assert new.json["id"] == merged.json["id"]
    assert "example" not in new.get_data(as_text=True)
    member = admin("GET", f"/members/{new.json['id']}").json
    assert (member["email"], member["first_name"], member["attributes"]) == ("Hanako@Example.com", "Hanako", {"plan": "gold"})
    assert admin("GET", "/members?email=HANAKO@example.com").json["items"] == [member]
    ledger = admin("GET", f"/members/{new.json['id']}/consent").json["items"]
    assert [(row["act"], row["wording"]) for row in ledger] == [("opt_in", "I want news")]
    timeline = f"/members/{new.json['id']}/timeline?limit=1"
    page = admin("GET", timeline).json
    assert page["items"][0]["kind"] == "consent"
    assert admin("GET", f"{timeline}&before={page['next']}").json == {"items": [], "next": None}
    assert admin("GET", f"{timeline}&before=2026-11-01T00:00:00").status_code == 422


def test_what_is_wrong_is_pointed_at_and_not_repeated(admin):
    answer = admin(
        "POST", "/members", {"email": "no-address-at-all", "secret_role": "admin", "lists": ["x"], "attributes": {"a": {"b": 1}}}
    )

    assert answer.status_code == 422
    assert {"#/secret_role", "#/lists/0"} <= {error["pointer"] for error in answer.json["errors"]}
    assert "no-address-at-all" not in answer.get_data(as_text=True)
    assert [error["pointer"] for error in admin("POST", "/members", {"email": "no-address"}).json["errors"]] == ["#/email"]
    assert admin("POST", "/members", {"email": "a@example.com", "lists": ["99"]}).json["errors"][0]["pointer"] == "#/lists"
    assert admin("POST", "/members", {"email": "a@example.com", "confirm": True}).json["errors"][0]["pointer"] == "#/confirm"


def test_bodies_that_cannot_be_read_are_refused(admin):
    def post(data: bytes, kind: str = "application/json") -> int:
        return admin("POST", "/members", data=data, content_type=kind).status_code

    assert post(b"{") == 400
    assert post(b'{"email": NaN}') == 400
    assert post(b"\xff\xfe") == 400
    assert post(b"[" * 100_000) == 400
    assert post(b"[]") == 422
    assert post(b'{"email": "a\\u0000@example.com"}') == 422
    assert post(b'{"email": "a@example.com", "first_name": "\\ud800"}') == 422
    assert post(b'{"email": "a@example.com", "confirm": "no"}') == 422
    assert post(b"email=a", "application/x-www-form-urlencoded") == 415
    assert post(b" " * (4 * 1024 * 1024 + 1)) == 413


def test_a_members_no_by_staff_is_written_at_once(admin, news, ground):
    member = admin("GET", "/members").json["items"][0]["id"]

    assert admin("PATCH", f"/members/{member}", {"format": "text", "recording": "none"}).json["recording"] == "none"
    assert admin("DELETE", f"/lists/{news}/members/{member}").status_code == 204
    assert admin("GET", f"/members/{member}").json["lists"] == []
    assert admin("PUT", f"/lists/{news}/members/{member}").status_code == 204
    assert admin("PUT", f"/lists/{news}/members/9999").status_code == 404
    assert admin("DELETE", f"/members/{member}").status_code == 204
    assert admin("GET", f"/members/{member}").status_code == 404
    assert admin("POST", "/members", {"email": "m1@members.example"}).status_code == 409
    with ground.reading() as session:
        assert {"choose", "opt_out", "erase"} <= set(session.scalars(select(ConsentRow.act)))


def test_an_address_is_put_on_the_suppression_list_and_taken_off(admin, news):
    first = admin("POST", "/suppressions", {"email": "M2@members.example", "note": "asked by phone"})
    again = admin("POST", "/suppressions", {"email": "m2@members.example"})
    stranger = admin("POST", "/suppressions", {"email": "nobody@example.com"})

    assert (first.status_code, again.status_code, stranger.status_code) == (201, 200, 201)
    assert (first.json["id"], first.json["reason"]) == (again.json["id"], "staff")
    assert stranger.json["member_id"] is None
    found = admin("GET", "/suppressions?email=m2@members.example").json["items"]
    assert [(row["email"], row["note"]) for row in found] == [("m2@members.example", "asked by phone")]
    assert admin("GET", f"/members/{found[0]['member_id']}").json["suppressed"] == "staff"
    assert admin("DELETE", f"/suppressions/{first.json['id']}").status_code == 422
    assert admin("DELETE", f"/suppressions/{first.json['id']}?reason=mistake").status_code == 204
    assert admin("DELETE", f"/suppressions/{first.json['id']}?reason=mistake").status_code == 404
    assert len(admin("GET", "/suppressions?limit=1").json["items"]) == 1


def test_an_erased_address_is_not_let_in_again_by_staff(admin, news):
    member = admin("GET", "/members").json["items"][0]["id"]
    admin("DELETE", f"/members/{member}")
    entry = admin("GET", "/suppressions?reason=erased").json["items"][0]

    assert admin("DELETE", f"/suppressions/{entry['id']}?reason=x").status_code == 409


def test_an_analyst_sees_no_address(program, news):
    analyst = program("analyst")

    assert analyst("GET", "/members").json["items"][0]["email"] == "m•••@members.example"
    assert analyst("GET", "/members?email=m1@members.example").status_code == 403


def test_settings_are_changed_field_by_field(admin, ground):
    before = admin("GET", "/settings").json
    changed = admin("PATCH", "/settings", {"organisation": {"contact": "new@books.example"}, "language": "ja"})

    assert changed.status_code == 200
    assert changed.json == {**before, "organisation": {**before["organisation"], "contact": "new@books.example"}, "language": "ja"}
    for wrong in ({"legal_profile": "xx"}, {"time_zone": "Mars/Base"}, {"sender": {"email": "x"}}, {"unknown": 1}, {"language": None}):
        assert admin("PATCH", "/settings", wrong).status_code == 422
    assert admin("GET", "/settings").json == changed.json


# ---- import


CSV = b"email,first_name\na@example.com,Aki\nb@example.com,Ben\nnot an address,\n"


def _post_csv(program, news, data=CSV, query="&consent=shop%3A%20yes", **more):
    return program("POST", f"/members/import?list={news}{query}", data=data, content_type="text/csv", **more)


def test_a_file_is_taken_in_and_its_job_tells_how_far_it_is(admin, news, ground):
    answer = _post_csv(admin, news, query="&consent=shop%3A%20yes&consent_at=2026-11-01")
    assert answer.status_code == 202
    waiting = admin("GET", f"/jobs/{answer.json['job']}").json
    assert (waiting["state"], waiting["total"]) == ("queued", 3)
    assert ground.queues.waiting(WORK) == 1

    import_jobs.run_import(int(answer.json["job"]))

    done = admin("GET", f"/jobs/{answer.json['job']}").json
    assert (done["state"], done["done"], done["total"], done["errors"]) == ("done", 3, 3, 1)
    assert len(admin("GET", f"/members?list={news}").json["items"]) == 5
    assert ("token:1", "member.import") in _actions(ground)


def test_an_upload_that_ends_early_imports_nothing(admin, news, ground):
    for server in ({}, {"wsgi.input_terminated": True}):  # granian says the second
        broken = _post_csv(admin, news, environ_overrides={"CONTENT_LENGTH": str(len(CSV) + 10), **server})
        assert broken.status_code == 400
    assert _post_csv(admin, news, data=b"", environ_overrides={"CONTENT_LENGTH": "0"}).status_code == 400
    with ground.reading() as session:
        assert set(session.scalars(select(Job.state))) == {"failed"}
        assert session.scalar(select(func.count()).select_from(JobFile)) == 0
        assert session.scalar(select(func.count()).select_from(Member)) == 3
    assert ground.queues.waiting(WORK) == 0
    assert job_rows.FUNCTIONS["import"]


def test_an_import_says_which_of_its_words_are_wrong(admin, news):
    assert admin("POST", f"/members/import?list={news}", data=CSV, content_type="application/json").status_code == 415
    for query in ("&consent_at=yesterday", "&consent_at=2999-01-01", "&what=1"):
        answer = _post_csv(admin, news, query=query)
        assert answer.status_code == 422
        assert answer.json["errors"][0]["parameter"] == query[1:].partition("=")[0]
    no_length = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert _post_csv(admin, news, environ_overrides=no_length).status_code == 411
    assert _post_csv(admin, news, query="&consent_at=0001-01-01T00:00:00%2B09:00").status_code == 422
    assert _post_csv(admin, news, query="&consent_at=2026-11-01T09:00:00+09:00").status_code == 202
    assert _post_csv(admin, "99").json["errors"][0]["parameter"] == "list"


# ---- suppressions


def test_the_list_tells_who_put_an_address_there(admin, news):
    admin("POST", "/suppressions", {"email": "m2@members.example"})

    (entry,) = admin("GET", "/suppressions").json["items"]

    assert (entry["source"], entry["actor"]) == ("api", "token:1")


def test_a_complaint_waits_for_the_members_own_act(admin, news, ground):
    with ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.COMPLAINT, now=clock.now())
    (entry,) = admin("GET", "/suppressions").json["items"]

    refused = admin("DELETE", f"/suppressions/{entry['id']}?reason=telephone")
    with ground.writing() as session:
        consent.come_back(session, 1, source=ConsentSource.PAGE, now=clock.now())

    assert (refused.status_code, refused.json["type"].rpartition(":")[2]) == (409, "own-act-missing")
    assert admin("DELETE", f"/suppressions/{entry['id']}?reason=telephone").status_code == 204


def test_a_domain_is_put_on_the_list_and_taken_off(admin, news, ground):
    first = admin("POST", "/suppressions/domains", {"domain": "Members.Example", "note": "closed"})
    again = admin("POST", "/suppressions/domains", {"domain": "members.example"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json["domain"], again.json["note"], first.json["actor"]) == ("members.example", "closed", "token:1")
    assert admin("POST", "/suppressions/domains", {"domain": "no domain"}).status_code == 422
    assert [row["domain"] for row in admin("GET", "/suppressions/domains").json["items"]] == ["members.example"]
    assert {row["suppressed"] for row in admin("GET", "/members").json["items"]} == {"domain"}
    assert admin("DELETE", "/suppressions/domains/members.example").status_code == 204
    assert admin("DELETE", "/suppressions/domains/members.example").status_code == 404
    assert [action for _actor, action in _actions(ground)] == ["suppression.domain.add", "suppression.domain.release"]


def test_a_file_of_suppressions_is_worked_by_a_job(admin, news, ground):
    csv = b"email,reason\na@example.com,bounced\nnot one,\n"
    answer = admin("POST", "/suppressions/import", data=csv, content_type="text/csv")
    suppression_import.run(int(answer.json["job"]))

    done = admin("GET", f"/jobs/{answer.json['job']}").json
    assert (done["kind"], done["state"], done["done"], done["errors"]) == ("suppressions", "done", 2, 1)
    (entry,) = admin("GET", "/suppressions").json["items"]
    assert (entry["reason"], entry["source"], entry["actor"]) == ("bounced", "import", "token:1")
    assert admin("POST", "/suppressions/import", data=csv, content_type="text/plain").status_code == 415

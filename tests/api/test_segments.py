"""Segments by API: made, shown, counted, changed, deleted, and used by a campaign."""

import pytest
from sqlalchemy import select

from kairan.models.audit import AuditRow
from tests.api.conftest import CAMPAIGN

JAPANESE = {"all": [{"field": "locale", "op": "is", "value": "ja"}]}


@pytest.fixture
def segment(admin, news) -> str:
    answer = admin("POST", "/segments", {"name": "Japanese", "rule": JAPANESE})
    assert answer.status_code == 201, answer.json
    assert answer.headers["Location"] == f"/api/v1/segments/{answer.json['id']}"
    assert "rule" not in answer.json
    return str(answer.json["id"])


def test_a_segment_is_made_shown_counted_and_changed(admin, segment, ground):
    shown = admin("GET", f"/segments/{segment}").json
    assert (shown["name"], shown["rule"], shown["campaigns"]) == ("Japanese", JAPANESE, [])
    assert admin("GET", "/segments").json == {"items": [shown], "next": None}
    assert admin("GET", f"/segments/{segment}/count").json == {"members": 2}

    changed = admin("PATCH", f"/segments/{segment}", {"rule": {"none": JAPANESE["all"]}, "description": "All others"})
    assert (changed.status_code, changed.json["name"], changed.json["description"]) == (200, "Japanese", "All others")
    assert admin("GET", f"/segments/{segment}/count").json == {"members": 1}
    assert admin("POST", "/segments/count", {"rule": JAPANESE}).json == {"members": 2}
    with ground.reading() as session:
        assert [row.action for row in session.scalars(select(AuditRow).order_by(AuditRow.id))][-2:] == ["segment.create", "segment.change"]


def test_a_sample_is_masked_for_whom_addresses_are(admin, segment, program):
    assert [row["email"] for row in admin("GET", f"/segments/{segment}/sample").json["items"]] == [
        "m3@members.example",
        "m1@members.example",
    ]
    assert [row["email"] for row in program("analyst")("GET", f"/segments/{segment}/sample").json["items"]] == ["m•••@members.example"] * 2


def test_every_fault_of_a_rule_is_pointed_at(admin, news):
    wrong = {"all": [{"field": "email", "op": "is"}, {"any": [{"field": "list", "op": "in", "value": "x"}, {"field": "?", "op": "is"}]}]}
    answer = admin("POST", "/segments", {"name": "X", "rule": wrong})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [
        "#/rule/all/0/value",
        "#/rule/all/1/any/0/value",
        "#/rule/all/1/any/1/field",
    ]
    unknown = admin("POST", "/segments", {"name": "X", "rule": {"all": [{"field": "list", "op": "in", "value": "99"}]}})
    assert [error["pointer"] for error in unknown.json["errors"]] == ["#/rule/all/0/value"]
    assert admin("POST", "/segments", {"name": "X", "rule": {}}).json["errors"][0]["pointer"] == "#/rule"
    assert admin("POST", "/segments", {"name": "X"}).status_code == 422


def test_a_name_is_taken_once_and_what_is_not_there_is_not_found(admin, segment):
    assert admin("POST", "/segments", {"name": "Japanese", "rule": JAPANESE}).status_code == 409
    for method, path, body in (
        ("GET", "/segments/99", None),
        ("PATCH", "/segments/99", {"name": "x"}),
        ("DELETE", "/segments/99", None),
        ("GET", "/segments/99/count", None),
        ("GET", "/segments/99/sample", None),
    ):
        assert admin(method, path, body).status_code == 404


def test_a_campaign_is_narrowed_and_its_segment_cannot_be_deleted(admin, news, segment):
    other = admin("POST", "/segments", {"name": "First", "rule": {"all": [{"field": "email", "op": "begins_with", "value": "m1@"}]}}).json[
        "id"
    ]
    made = admin("POST", "/campaigns", {**CAMPAIGN, "lists": [news], "segment": segment, "exclude": {"segments": [other]}}).json["id"]

    shown = admin("GET", f"/campaigns/{made}").json
    assert (shown["segment"], shown["exclude"]) == (segment, {"lists": [], "segments": [other]})
    checked = admin("POST", f"/campaigns/{made}/preflight").json
    assert (checked["reached"], checked["left_out"]) == (1, {"excluded_segment": 1, "segment": 1})
    refused = admin("DELETE", f"/segments/{segment}")
    assert (refused.status_code, refused.json["type"]) == (409, "urn:kairan:problem:in-use")
    assert "Autumn" in refused.json["detail"]
    assert admin("GET", f"/segments/{segment}").json["campaigns"] == [made]

    changed = admin("PATCH", f"/campaigns/{made}", {"segment": None, "exclude": {"lists": []}}).json
    assert (changed["segment"], changed["exclude"]) == (None, {"lists": [], "segments": []})
    assert admin("DELETE", f"/segments/{segment}").status_code == 204
    assert admin("GET", f"/segments/{segment}").status_code == 404

"""Versions by API: what differs is given, what is not given follows, and the test is set, held and decided."""

import pytest

from kairan import clock
from mailer.campaigns import trials
from tests.support import ground as rows


def _put(admin, campaign, versions):
    return admin("PUT", f"/campaigns/{campaign}/versions", {"versions": versions})


def test_versions_are_given_where_they_differ_and_shown_whole(admin, campaign):
    answer = _put(admin, campaign, {"b": {"subject": "Red leaves"}, "ja": {"subject": "秋", "content": {"html": "<p>こんにちは</p>"}}})

    shown = admin("GET", f"/campaigns/{campaign}/versions").json
    assert answer.status_code == 200
    assert shown == answer.json
    assert shown["versions"].keys() == {"a", "ja", "b", "b-ja"}
    assert shown["versions"]["b"]["own"] == ["subject"]
    assert shown["versions"]["b-ja"]["subject"] == "秋"
    assert shown["versions"]["b"]["content"]["html"] == rows.HTML


@pytest.mark.parametrize(
    "versions",
    [
        {"c": {"subject": "C"}},
        {"e": {}},
        {"a": {"subject": "x"}},
        {"b-ja": {"subject": "x"}},
        {"b": {}, "b-ja": {}},
        {"b": {"content": {"mjml": "<mjml><mj-include path='/etc/passwd'/></mjml>"}}},
        {"b": {"unknown": 1}},
        {"b": {"from_email": "nobody"}},
        [],
    ],
)
def test_what_is_no_version_is_refused_and_nothing_changes(admin, campaign, versions):
    assert _put(admin, campaign, versions).status_code == 422

    assert list(admin("GET", f"/campaigns/{campaign}/versions").json["versions"]) == ["a"]


def test_a_test_is_set_changed_and_taken_back(admin, campaign):
    assert admin("PUT", f"/campaigns/{campaign}/trial", {"share": 20}).status_code == 422
    _put(admin, campaign, {"b": {"subject": "Red leaves"}})

    assert admin("PUT", f"/campaigns/{campaign}/trial", {"share": 60}).status_code == 422
    set_up = admin("PUT", f"/campaigns/{campaign}/trial", {"share": 20, "hours": 2, "by": "opens"}).json
    assert set_up["trial"] == {"share": 20, "hours": 2, "by": "opens", "ends_at": None, "winner": None, "decided_at": None}
    assert admin("DELETE", f"/campaigns/{campaign}/trial", {}).json["trial"] is None


def test_a_variant_that_goes_ends_a_test_of_two(admin, campaign):
    _put(admin, campaign, {"b": {}})
    admin("PUT", f"/campaigns/{campaign}/trial", {"share": 20})

    assert _put(admin, campaign, {}).json["trial"] is None


def test_a_winner_is_named_once_while_it_goes_out(admin, campaign, ground):
    _put(admin, campaign, {"b": {"subject": "Red leaves"}})
    admin("PUT", f"/campaigns/{campaign}/trial", {"share": 20, "by": "hand"})
    path = f"/campaigns/{campaign}/trial/winner"
    assert admin("POST", path, {"variant": "b"}).status_code == 409
    rows.start_sending(ground, int(campaign), clock.now())

    assert admin("POST", path, {"variant": "d"}).status_code == 422
    assert admin("POST", path, {"variant": "b"}).json["trial"]["winner"] == "b"
    assert admin("POST", path, {"variant": "a"}).status_code == 409
    with ground.reading() as session:
        from kairan.models.campaigns import Campaign

        assert trials.of(session.get_one(Campaign, int(campaign))).released

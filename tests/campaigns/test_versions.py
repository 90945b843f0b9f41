"""Versions keep only what differs, follow the rest, and are told apart by their keys alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.campaigns import versions
from mailer.campaigns.revisions import Content
from mailer.campaigns.versions import VersionError

MAIL = Content(subject="Autumn", from_name="Club", from_email="news@club.example", kind="html", content="<p>Hello</p>")
WORDS = st.sampled_from(["", "Autumn", "秋", "Winter"])


def _with(*steps: str) -> Content:
    content = MAIL
    for step in steps:
        content = versions.with_language(content, step) if step in ("ja", "en") else versions.with_variant(content)[0]
    return content


def test_a_new_variant_says_what_the_mail_says_and_follows_it():
    content, key = versions.with_variant(MAIL)

    assert key == "b"
    assert versions.effective(content, "b") == MAIL
    assert versions.effective(replace(content, subject="Winter"), "b").subject == "Winter"


def test_a_version_keeps_only_what_differs():
    content = versions.changed(_with("variant"), "b", {"subject": "Red leaves", "content": MAIL.content})

    assert content.versions == {"b": {"subject": "Red leaves"}}
    assert versions.follows_content(content, "b")
    assert versions.changed(content, "b", {"subject": MAIL.subject}).versions == {"b": {}}


def test_a_body_of_its_own_brings_its_kind():
    content = versions.changed(_with("variant"), "b", {"kind": "text", "content": "Hello"})

    assert content.versions["b"] == {"kind": "text", "content": "Hello", "text": None}
    assert not versions.follows_content(content, "b")


def test_a_variant_in_a_language_follows_that_language():
    content = _with("ja", "variant")
    content = versions.changed(content, "ja", {"subject": "秋", "content": "<p>こんにちは</p>"})
    content = versions.changed(content, "b-ja", {"subject": "紅葉"})

    said = versions.effective(content, "b-ja")

    assert (said.subject, said.content) == ("紅葉", "<p>こんにちは</p>")
    assert versions.keys(content) == ["a", "ja", "b", "b-ja"]


def test_every_member_has_one_version_of_each_variant():
    for steps in ((), ("variant",), ("ja",), ("ja", "en"), ("ja", "variant", "variant", "variant")):
        content = _with(*steps)
        served = [(part.variant, language) for part in versions.parts(content) for language in part.languages]

        assert sorted(served) == [(place, language) for place in range(len(versions.variants(content))) for language in ("en", "ja")]


def test_a_variant_that_goes_takes_its_languages_along_and_the_later_ones_move_up():
    content = _with("ja", "variant", "variant")
    content = versions.changed(versions.changed(content, "c", {"subject": "C"}), "c-ja", {"subject": "し"})

    content = versions.without(versions.changed(content, "b-ja", {"subject": "び"}), "b")

    assert content.versions == {"ja": {}, "b": {"subject": "C"}, "b-ja": {"subject": "し"}}


@pytest.mark.parametrize("key", ["", "e", "a-ja-b", "b", "ja", "b-fr", "../ja", "A"])
def test_what_is_no_version_is_refused(key):
    with pytest.raises(VersionError):
        versions.effective(MAIL, key)


def test_there_are_four_variants_at_most_and_a_language_once():
    with pytest.raises(VersionError):
        _with("variant", "variant", "variant", "variant")
    with pytest.raises(VersionError):
        _with("ja", "ja")
    with pytest.raises(VersionError):
        versions.without(MAIL, "a")


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "ja", "b-ja", "c-ja"]), WORDS, WORDS), max_size=8))
def test_what_was_said_last_of_a_version_is_what_it_says(edits):
    content = _with("ja", "variant", "variant")

    for key, subject, body in edits:
        content = versions.changed(content, key, {"subject": subject, "content": body})

        said = versions.effective(content, key)
        assert (said.subject, said.content, said.versions) == (subject, body, {} if key != "a" else said.versions)
    assert versions.checked(content.versions) == content.versions

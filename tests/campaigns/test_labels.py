"""Labels are words of people's own: up to ten, each once, on any campaign at any time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime
from mailer.campaigns import labels, lifecycle
from tests.support import ground as make


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with make.running(make.make_settings(database_url, tmp_path)) as running:
        yield running


@pytest.fixture
def campaign_id(ground: Runtime) -> int:
    with ground.writing() as session:
        return make.make_campaign(session, make.make_list(session)).id


def _labels(ground: Runtime, campaign_id: int) -> list[str]:
    with ground.reading() as session:
        return labels.of(session, [campaign_id])[campaign_id]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", []),
        (" , 、,", []),
        ("spring, sale", ["spring", "sale"]),
        ("春、セール，本\n夏", ["春", "セール", "本", "夏"]),
        ("  two   words ,Two Words", ["two words"]),
        ("か\u3099", ["が"]),
        ("<b>&amp;]]>", ["<b>&amp;]]>"]),
    ],
)
def test_a_line_with_commas_becomes_labels_each_once(written: str, kept: list[str]) -> None:
    assert labels.split(written) == kept


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([str(number) for number in range(11)], "at most 10"),
        (["x" * 41], "at most 40"),
        (["a, b"], "comma"),
        (["a\x00b"], "control"),
        (["a\x1b[31m"], "control"),
    ],
)
def test_what_cannot_be_labels_is_told(given: list[str], word: str) -> None:
    with pytest.raises(labels.NotLabels, match=word):
        labels.checked(given)


def test_labels_are_replaced_also_when_the_campaign_is_sent(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        labels.put(session, campaign_id, ["spring", "sale"])
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENT
    with ground.writing() as session:
        labels.put(session, campaign_id, ["sale", "books"])

    assert _labels(ground, campaign_id) == ["books", "sale"]


def test_a_copy_has_the_labels_and_the_place_in_the_archive_of_its_original(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        labels.put(session, campaign_id, ["spring"])
        session.get_one(Campaign, campaign_id).in_archive = False
        copy = lifecycle.copy(session, campaign_id, "Again", now=make.NOW)
        copied, in_archive = copy.id, copy.in_archive

    assert (_labels(ground, copied), in_archive) == (["spring"], False)


def test_the_labels_there_are_come_by_how_often_they_are_used(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        labels.put(session, campaign_id, ["a", "b"])
        labels.put(session, lifecycle.copy(session, campaign_id, "Again", now=make.NOW).id, ["b"])
        assert labels.known(session) == ["b", "a"]

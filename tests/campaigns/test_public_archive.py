"""A public archive shows what was sent to its list and nothing else, as it reads for nobody in particular."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from kairan.models.audience import Attribute, List
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime
from mailer.audience import lists
from mailer.campaigns import lifecycle, public_archive
from mailer.campaigns.lifecycle import Reach
from mailer.campaigns.revisions import Content
from tests.support import ground as make

NOW = make.NOW


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with make.running(make.make_settings(database_url, tmp_path)) as running:
        with running.writing() as session:
            make.make_organisation(session)
            make.make_list(session).public_archive = True
            make.make_list(session, "Other")
        yield running


def sent(ground: Runtime, subject: str = "News", *, lists: tuple[int, ...] = (1,), days_ago: int = 0, **changes: Any) -> int:
    content = Content(subject=subject, preheader=changes.pop("preheader", ""), from_email="news@books.example", content="<p>Hello</p>")
    at = NOW - timedelta(days=days_ago)
    with ground.writing() as session:
        campaign = lifecycle.create(session, "Internal name", Reach(lists, changes.pop("excluded", ())), content, now=at)
        for name, value in {"status": CampaignStatus.SENT, "started_at": at, **changes}.items():
            setattr(campaign, name, value)
        return campaign.id


def subjects(ground: Runtime, **more: Any) -> list[str]:
    with ground.reading() as session:
        return [entry.subject for entry in public_archive.newest(session, 1, **{"after": None, "limit": 50, **more})]


def test_it_shows_what_was_sent_to_the_list_the_last_first(ground: Runtime) -> None:
    sent(ground, "Second", days_ago=1)
    sent(ground, "First", days_ago=2)
    sent(ground, "Third", lists=(1, 2))

    assert subjects(ground) == ["Third", "Second", "First"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"status": status} for status in CampaignStatus if status != CampaignStatus.SENT),
        {"lists": (2,)},
        {"lists": (2,), "excluded": (1,)},
        {"in_archive": False},
        {"started_at": None},
    ],
)
def test_it_shows_nothing_else(ground: Runtime, changes: dict[str, Any]) -> None:
    campaign_id = sent(ground, **changes)

    assert subjects(ground) == []
    with ground.reading() as session:
        assert public_archive.find(session, 1, campaign_id) is None
        assert public_archive.entry(session, 1, campaign_id) is None


def test_pages_go_on_after_the_last_shown_also_if_that_is_taken_out_meanwhile(ground: Runtime) -> None:
    ids = [sent(ground, f"Mail {number}") for number in range(5)]
    assert subjects(ground, limit=2) == ["Mail 4", "Mail 3"]
    with ground.writing() as session:
        public_archive.put(session.get_one(Campaign, ids[3]), False, now=NOW)

    assert subjects(ground, after=ids[3]) == ["Mail 2", "Mail 1", "Mail 0"]
    assert subjects(ground, after=10**12) == []


def test_merge_fields_fall_back_and_those_of_the_campaign_hold(ground: Runtime) -> None:
    sent(
        ground,
        "Dear {{ member.first_name | default: 'reader' }}",
        preheader="{% if member.email %}Hello {{ member.email }}{% else %}From {{ organisation.name }}{% endif %}: {{ campaign.subject }}",
    )
    with ground.reading() as session:
        (entry,) = public_archive.newest(session, 1, after=None, limit=2)

    assert (entry.subject, entry.preheader) == ("Dear reader", "From Kairan Books: Dear reader")


def test_a_field_that_is_gone_since_leaves_no_merge_language_behind(ground: Runtime) -> None:
    with ground.writing() as session:
        session.add(Attribute(name="town", created_at=NOW))
    sent(ground, "To {{ member.town | default: 'you' }}")
    assert subjects(ground) == ["To you"]
    with ground.writing() as session:
        session.execute(delete(Attribute))

    assert subjects(ground) == [""]


def test_a_list_is_found_by_id_and_slug_while_its_archive_is_open(ground: Runtime) -> None:
    def found(place: str) -> int | None:
        with ground.reading() as session:
            row = public_archive.find_list(session, place)
            return row.id if row else None

    with ground.writing() as session:
        lists.change(session, 1, now=NOW, slug="club-news")
    assert [found(place) for place in ("1", "club-news", "2", "Club-News", "", "x" * 500, "9" * 30, "１")] == [1, 1] + [None] * 6
    with ground.writing() as session:
        lists.archive(session, 1, now=NOW)
    assert found("1") is None


@pytest.mark.parametrize("slug", ["1", "1st", "-a", "a-", "A", "a b", "a/b", "ä", "a" * 65, "feed.xml", "a\n"])
def test_a_slug_that_could_be_mistaken_is_refused(ground: Runtime, slug: str) -> None:
    with ground.writing() as session:
        if slug == "a\n":
            assert lists.change(session, 1, now=NOW, slug=slug).slug == "a"
        else:
            with pytest.raises(lists.NotASlug):
                lists.change(session, 1, now=NOW, slug=slug)


def test_of_two_lists_one_has_a_slug_and_gives_it_back(ground: Runtime) -> None:
    with ground.writing() as session:
        lists.change(session, 1, now=NOW, slug="news")
        with pytest.raises(lists.SlugTaken):
            lists.change(session, 2, now=NOW, slug="news", name="Never written")
        lists.change(session, 1, now=NOW, slug="")
        lists.change(session, 2, now=NOW, slug="news")
    with ground.reading() as session:
        assert [(row.name, row.slug) for row in session.query(List).order_by(List.id)] == [("News", None), ("Other", "news")]


def test_taking_a_campaign_out_is_a_change_of_the_archive(ground: Runtime) -> None:
    campaign_id = sent(ground, days_ago=3)
    later = NOW + timedelta(days=1)
    with ground.writing() as session:
        assert public_archive.changed_at(session, session.get_one(List, 1)) == NOW
        public_archive.put(session.get_one(Campaign, campaign_id), False, now=later)
    with ground.writing() as session:
        assert public_archive.changed_at(session, session.get_one(List, 1)) == later
        lists.change(session, 1, now=later + timedelta(days=1), name="Renamed")
        assert public_archive.changed_at(session, session.get_one(List, 1)) == later + timedelta(days=1)

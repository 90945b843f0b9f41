"""A campaign moves along its table only: one winner, nothing twice, nothing by surprise."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus, Link, Revision
from kairan.models.deliveries import Delivery
from kairan.runtime import Runtime
from mailer.campaigns import compilation, jobs, lifecycle, preflight, revisions
from mailer.campaigns.lifecycle import MoveRefused
from tests.support import ground as make


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    with make.running(make.make_settings(database_url, tmp_path, redis=valkey, smtp="smtp://127.0.0.1:1")) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


@pytest.fixture
def campaign_id(ground: Runtime) -> int:
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 5, into)
        return make.make_campaign(session, into).id


def _status(ground: Runtime, campaign_id: int) -> str:
    with ground.reading() as session:
        return session.get_one(Campaign, campaign_id).status


def test_a_double_clicked_send_starts_once(ground: Runtime, campaign_id: int) -> None:
    told: list[str] = []

    def click() -> None:
        try:
            with ground.writing() as session:
                lifecycle.schedule(session, campaign_id, clock.now(), now=clock.now())
            told.append("sent")
        except MoveRefused as refused:
            told.append(refused.status)

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == ["scheduled", "scheduled", "scheduled", "sent"]


def test_two_starters_write_every_delivery_once(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        lifecycle.schedule(session, campaign_id, clock.now(), now=clock.now())

    threads = [threading.Thread(target=jobs.start_due) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with ground.reading() as session:
        assert session.execute(select(Delivery.number).order_by(Delivery.number)).scalars().all() == [1, 2, 3, 4, 5]
        assert session.get_one(Campaign, campaign_id).audience == 5


def test_a_start_missed_by_hours_is_held_for_a_person(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        lifecycle.schedule(session, campaign_id, clock.now() - timedelta(hours=7), now=clock.now())

    jobs.start_due()

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.status, campaign.paused_reason, campaign.audience) == (CampaignStatus.PAUSED, "late", 0)
    jobs.resume(ground, campaign_id)
    jobs.start_due()
    with ground.reading() as session:
        assert session.get_one(Campaign, campaign_id).audience == 5


def test_the_second_of_two_saves_is_told_and_overwrites_nothing(ground: Runtime, campaign_id: int) -> None:
    with ground.writing() as session:
        revisions.save(session, campaign_id, 1, {"subject": "Hers"}, now=clock.now())

    with pytest.raises(revisions.RevisionConflict) as conflict, ground.writing() as session:
        revisions.save(session, campaign_id, 1, {"subject": "His"}, now=clock.now())

    assert conflict.value.theirs.subject == "Hers"
    with ground.reading() as session:
        assert session.execute(select(Revision.subject).order_by(Revision.number)).scalars().all() == ["Autumn news", "Hers"]


def test_a_campaign_on_its_way_cannot_be_edited_and_a_paused_one_can(ground: Runtime, campaign_id: int) -> None:
    make.start_sending(ground, campaign_id)

    with pytest.raises(revisions.NotEditable), ground.writing() as session:
        revisions.save(session, campaign_id, 1, {"subject": "Other"}, now=clock.now())
    jobs.pause(ground, campaign_id)
    with ground.writing() as session:
        assert revisions.save(session, campaign_id, 1, {"subject": "Other"}, now=clock.now()).number == 2
    jobs.resume(ground, campaign_id)
    assert _status(ground, campaign_id) == CampaignStatus.SENDING


def test_a_link_number_is_never_used_twice(ground: Runtime, campaign_id: int) -> None:
    make.start_sending(ground, campaign_id)
    jobs.pause(ground, campaign_id)
    with ground.writing() as session:
        revisions.save(session, campaign_id, 1, {"content": make.HTML.replace("/autumn", "/winter")}, now=clock.now())
        compilation.compile_campaign(session, session.get_one(Campaign, campaign_id), ground.settings.base_url)

    with ground.reading() as session:
        links = {link.number: (link.revision, link.url) for link in session.execute(select(Link)).scalars()}
    assert links[1] == (1, "https://shop.example/autumn")
    assert links[3] == (2, "https://shop.example/winter")


def test_cancelled_deliveries_add_up(ground: Runtime, campaign_id: int) -> None:
    make.start_sending(ground, campaign_id)

    jobs.cancel(ground, campaign_id)

    with ground.reading() as session:
        assert make.states(session, campaign_id) == {"cancelled": 5}
    with pytest.raises(MoveRefused):
        jobs.resume(ground, campaign_id)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"content": "<p>{{ member.nickname }}</p>"}, "unknown_field"),
        ({"subject": ""}, "empty_subject"),
        ({"content": ""}, "empty"),
    ],
)
def test_an_error_of_the_check_is_found_before_the_send(ground: Runtime, campaign_id: int, change: dict[str, object], rule: str) -> None:
    with ground.writing() as session:
        revisions.save(session, campaign_id, 1, change, now=clock.now())

    with ground.reading() as session:
        found = preflight.check(session, campaign_id, ground.settings, now=clock.now())

    assert rule in {finding.rule for finding in found if finding.level == "error"}


def test_a_good_campaign_has_no_error(ground: Runtime, campaign_id: int) -> None:
    with ground.reading() as session:
        found = preflight.check(session, campaign_id, ground.settings, now=clock.now())

    assert not preflight.has_errors(found), found


def test_members_without_consent_are_left_out_with_the_reason(ground: Runtime) -> None:
    with ground.writing() as session:
        into = make.make_list(session, name="Other", purpose="Another purpose")
        make.make_members(session, 2, into, domain="yes.example")
        make.make_members(session, 3, into, domain="no.example", consented=False)
        campaign_id = make.make_campaign(session, into).id

    make.start_sending(ground, campaign_id)

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert (campaign.audience, campaign.left_out) == (2, {"no_consent": 3})

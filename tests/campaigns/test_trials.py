"""An A/B test sends each variant to its share, holds the rest back, and sends the rest what won: once, whatever is killed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from kairan import clock
from kairan.models.campaigns import Campaign, Link, Program
from kairan.models.deliveries import Delivery
from kairan.models.events import Engagement
from mailer.campaigns import compilation, jobs, lifecycle, revisions, trials, versions
from mailer.campaigns.trials import TrialError
from mailer.delivery import jobs as sending
from mailer.delivery.splits import Split
from tests.support import ground as make

MEMBERS = 200


@pytest.fixture
def ground(database_url, valkey, tmp_path, smtp_sink):
    with make.running(make.make_settings(database_url, tmp_path, redis=valkey, smtp=smtp_sink.url)) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


@pytest.fixture
def begin(ground) -> Callable[..., int]:
    """A campaign of two variants, on its way to `count` members."""

    def start(count: int = MEMBERS, **trial: object) -> int:
        now = clock.now()
        with ground.writing() as session:
            into = make.make_list(session, now=now)
            make.make_members(session, count, into, now=now)
            campaign = make.make_campaign(session, into, now=now)
            revisions.save_change(session, campaign.id, 1, _red, now=now)
            if trial:
                trials.set_up(session, campaign, **trial)  # type: ignore[arg-type]
            campaign_id = campaign.id
        make.start_sending(ground, campaign_id, now)
        return campaign_id

    return start


def _red(content: revisions.Content) -> revisions.Content:
    return versions.changed(versions.with_variant(content)[0], "b", {"subject": "Red leaves"})


def _subjects(mails) -> Counter[str]:
    return Counter(str(message_from_bytes(mail.raw, policy=default)["Subject"]) for mail in mails)


def _advance(ground, campaign_id: int, **later: int) -> bool:
    with ground.writing() as session:
        return trials.advance(session, campaign_id, now=clock.now() + timedelta(**later))


def _clicked(ground, campaign_id: int, variant: int, count: int) -> None:
    split = Split(2, 20)
    with ground.writing() as session:
        numbers = [n for n in session.scalars(select(Delivery.number).order_by(Delivery.number)) if split.variant_of(n) == variant][:count]
        session.add_all(Engagement(campaign_id=campaign_id, number=n, member_id=n, opens=1, clicks=1, last_at=clock.now()) for n in numbers)


def test_variants_without_a_test_share_the_members_evenly(begin, smtp_sink):
    campaign_id = begin()

    sending.run_lane(campaign_id)

    counts = _subjects(smtp_sink.received)
    assert counts.keys() == {"Autumn news", "Red leaves"}
    assert abs(counts["Autumn news"] - MEMBERS / 2) <= 3


def test_the_rest_waits_and_gets_what_was_clicked_most(ground, begin, smtp_sink):
    campaign_id = begin(share=20, hours=4, by="clicks")
    sending.run_lane(campaign_id)
    tested = _subjects(smtp_sink.received)
    assert sum(tested.values()) == pytest.approx(MEMBERS * 0.2, abs=3)
    assert tested["Red leaves"] == pytest.approx(tested["Autumn news"], abs=3)
    with ground.writing() as session:
        assert not lifecycle.finish_if_done(session, campaign_id, now=clock.now())
    assert not _advance(ground, campaign_id)  # its end is set now
    _clicked(ground, campaign_id, variant=1, count=5)
    _clicked(ground, campaign_id, variant=0, count=2)
    assert not _advance(ground, campaign_id, hours=3)

    assert _advance(ground, campaign_id, hours=5)
    jobs.release(ground, campaign_id)
    sending.run_lane(campaign_id)

    counts = _subjects(smtp_sink.received)
    assert counts["Autumn news"] == tested["Autumn news"]
    assert sum(counts.values()) == MEMBERS
    assert len({mail.recipient for mail in smtp_sink.received}) == MEMBERS
    with ground.writing() as session:
        assert lifecycle.finish_if_done(session, campaign_id, now=clock.now())


def test_links_of_mails_that_are_out_stay_as_they_are_when_the_winner_is_known(ground, begin):
    campaign_id = begin(share=20, hours=4, by="hand")
    with ground.reading() as session:
        before = session.execute(select(Link.number, Link.url).order_by(Link.number)).all()

    with ground.writing() as session:
        trials.decide(session, campaign_id, 1, now=clock.now(), by=None)

    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert session.execute(select(Link.number, Link.url).order_by(Link.number)).all() == before
        assert set(session.scalars(select(Program.revision))) == {campaign.revision}
        assert campaign.revision == 3


def test_a_lane_that_does_not_know_the_winner_sends_none_of_the_rest(ground, begin, smtp_sink):
    campaign_id = begin(share=20, hours=4, by="hand")
    late = sending._prepare(ground, campaign_id, 5.0)
    assert late is not None
    with ground.writing() as session:
        trials.decide(session, campaign_id, 1, now=clock.now())
    jobs.release(ground, campaign_id)

    asyncio.run(late.run())
    sending._end(ground, late)
    late.journal.abandon()

    assert smtp_sink.received == []
    sending.run_lane(campaign_id)
    assert len({mail.recipient for mail in smtp_sink.received}) == len(smtp_sink.received) == MEMBERS


def test_a_release_that_was_broken_off_is_taken_up(ground, begin, smtp_sink):
    campaign_id = begin(count=4_100, share=5, hours=1, by="hand")
    with ground.writing() as session:
        trials.decide(session, campaign_id, 0, now=clock.now())
    with ground.writing() as session:
        assert trials.release(session, campaign_id, 1, now=clock.now())

    jobs.hold_trials(ground)

    with ground.reading() as session:
        waiting = session.scalars(select(Delivery.number).where(Delivery.due_at.is_(None))).all()
        assert waiting == []
        assert trials.of(session.get_one(Campaign, campaign_id)).released


def test_a_test_is_decided_once_and_only_while_it_goes_out(ground, begin):
    campaign_id = begin(share=20, hours=4, by="hand")
    assert not _advance(ground, campaign_id, hours=500)  # by hand: time alone decides nothing

    for winner, why in ((9, "unknown"), (1, None), (0, "decided")):
        with ground.writing() as session:
            if why is None:
                trials.decide(session, campaign_id, winner, now=clock.now())
                continue
            with pytest.raises(TrialError, match=why):
                trials.decide(session, campaign_id, winner, now=clock.now())


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"share": 2, "hours": 4, "by": "clicks"}, "share"),
        ({"share": 60, "hours": 4, "by": "clicks"}, "share"),
        ({"share": 20, "hours": 0, "by": "clicks"}, "hours"),
        ({"share": 20, "hours": 4, "by": "luck"}, "by"),
    ],
)
def test_what_cannot_be_tested_is_refused(ground, asked, why):
    with ground.writing() as session:
        campaign = make.make_campaign(session, make.make_list(session))
        with pytest.raises(TrialError, match="no_variants"):
            trials.set_up(session, campaign, **asked)
        revisions.save_change(session, campaign.id, 1, _red, now=clock.now())
        with pytest.raises(TrialError, match=why):
            trials.set_up(session, campaign, **asked)


def test_a_cancelled_test_mails_nobody_of_the_rest(ground, begin, smtp_sink):
    campaign_id = begin(share=20, hours=1, by="clicks")
    sending.run_lane(campaign_id)
    sent = len(smtp_sink.received)

    jobs.cancel(ground, campaign_id)
    jobs.hold_trials(ground)
    sending.run_lane(campaign_id)

    assert len(smtp_sink.received) == sent
    with ground.reading() as session:
        assert make.states(session, campaign_id) == {"accepted": sent, "cancelled": MEMBERS - sent}


def test_versions_stay_as_many_once_it_has_begun(ground, begin):
    campaign_id = begin(share=20, hours=1, by="clicks")
    jobs.pause(ground, campaign_id)

    with ground.writing() as session, pytest.raises(revisions.NotEditable):
        revisions.save_change(session, campaign_id, 2, lambda content: versions.with_variant(content)[0], now=clock.now())
    with ground.writing() as session:
        revisions.save_change(session, campaign_id, 2, lambda content: replace(content, subject="Late news"), now=clock.now())


@given(st.integers(2, 4), st.sampled_from([5, 20, 50, 100]), st.integers(1, 10**9), st.integers(100, 3_000))
def test_any_run_of_members_falls_onto_the_variants_evenly(variants, share, first, length):
    split = Split(variants, share)

    counts = Counter(split.variant_of(number) for number in range(first, first + length))

    wanted = length * share / 100 / variants
    assert all(abs(counts[variant] - wanted) < 8 for variant in range(variants))


def test_the_database_and_the_lane_agree_on_whose_mail_is_which(ground, begin):
    campaign_id = begin(share=30, hours=1, by="clicks")
    split = Split(3, 30)
    with ground.writing() as session:
        session.execute(update(Delivery).values(number=Delivery.number * 7_654_321))  # large numbers too
    with ground.reading() as session:
        rows = session.execute(select(Delivery.number, split.column(Delivery.number)).where(Delivery.campaign_id == campaign_id)).all()

    assert [variant for _number, variant in rows] == [split.variant_of(number) for number, _variant in rows]


def test_what_a_member_got_can_be_seen_again_as_they_got_it(ground, begin):
    campaign_id = begin(share=20, hours=1, by="hand")
    split = Split(2, 20)
    with ground.writing() as session:
        trials.decide(session, campaign_id, 1, now=clock.now())
    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        first_of_a = next(number for number in range(1, 100) if split.variant_of(number) == 0)
        waited = next(number for number in range(1, 100) if split.variant_of(number) is None)

        assert compilation.version_for(session, campaign, "en", first_of_a) == "a"
        assert compilation.version_for(session, campaign, "en", waited) == "b"
        assert compilation.version_for(session, campaign, "en") == "b"

"""Segments narrow campaigns: who is left out and why, what is frozen when a campaign begins, and what stops a segment from going."""

import pytest
from sqlalchemy import func, select, text, update

from kairan import clock
from kairan.models.audience import Attribute, List, Member
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery
from kairan.models.segments import CampaignSegment, Segment
from kairan.sql import TookTooLong, is_sqlite, within
from mailer.audience import erasure, lists, rules, segments, selection
from mailer.audience.rules import RuleRefused
from mailer.campaigns import jobs, lifecycle, preflight
from tests.support.ground import NOW, make_campaign, make_list, make_members, make_organisation, start_sending

JAPANESE = {"all": [{"field": "locale", "op": "is", "value": "ja"}]}
FIRST = {"all": [{"field": "email", "op": "begins_with", "value": "m1@"}]}
NOBODY = {"all": [{"field": "email", "op": "is", "value": "nobody@members.example"}]}


@pytest.fixture
def made(ground, news):
    """Six members who consented, every other of them Japanese, and a draft to them all."""
    with ground.writing() as session:
        make_organisation(session)
        make_members(session, 6, news)
        session.add(Attribute(name="plan", kind="text", created_at=NOW))
        return make_campaign(session, news).id


def _segment(ground, rule=JAPANESE, name="Japanese") -> int:
    with ground.writing() as session:
        return segments.create(session, name, rule, now=NOW).id


def _narrow(ground, campaign_id, segment=None, excluded=()) -> None:
    with ground.writing() as session:
        campaign = session.get_one(Campaign, campaign_id)
        held = lifecycle.reach_of(session, campaign)
        reach = lifecycle.Reach(held.lists, segment=segment, excluded_segments=tuple(excluded))
        lifecycle.set_reach(session, campaign, reach, now=NOW)
        assert lifecycle.reach_of(session, campaign) == reach


def _count(ground, campaign_id):
    with ground.reading() as session:
        return selection.count(session, campaign_id, NOW)


def _served(ground, campaign_id) -> list[int]:
    with ground.reading() as session:
        return list(session.scalars(select(Delivery.member_id).where(Delivery.campaign_id == campaign_id).order_by(Delivery.number)))


def test_a_segment_narrows_the_lists_and_the_count_says_why(ground, made):
    _narrow(ground, made, _segment(ground))

    assert _count(ground, made) == (3, {"segment": 3})
    start_sending(ground, made)
    assert _served(ground, made) == [1, 3, 5]
    with ground.reading() as session:
        assert session.get_one(Campaign, made).left_out == {"segment": 3}


def test_an_excluded_segment_keeps_its_members_out(ground, made):
    _narrow(ground, made, _segment(ground), [_segment(ground, FIRST, "First")])

    assert _count(ground, made) == (2, {"segment": 3, "excluded_segment": 1})
    start_sending(ground, made)
    assert _served(ground, made) == [3, 5]


def test_a_segment_that_narrows_and_is_left_out_leaves_nobody(ground, made):
    segment = _segment(ground)
    _narrow(ground, made, segment, [segment])

    assert _count(ground, made) == (0, {"segment": 3, "excluded_segment": 3})
    with ground.reading() as session:
        assert "nobody" in [finding.rule for finding in preflight.check(session, made, ground.settings, now=NOW)]
        assert [campaign.id for campaign in segments.uses(session, segment)] == [made]


def test_a_segment_brings_nobody_in(ground, made):
    """Neither who is in no list of the campaign, nor who did not consent."""
    with ground.writing() as session:
        make_members(session, 2, make_list(session, "Other"), first=20)
        make_members(session, 2, session.get_one(List, 1), first=30, consented=False)
    _narrow(ground, made, _segment(ground, {"any": [{"field": "email", "op": "contains", "value": "@"}]}))

    assert _count(ground, made) == (6, {"no_consent": 2})
    start_sending(ground, made)
    assert _served(ground, made) == [1, 2, 3, 4, 5, 6]


def test_a_campaign_that_has_begun_keeps_the_rule_it_began_with(ground, made):
    segment = _segment(ground)
    _narrow(ground, made, segment)
    with ground.writing() as session:
        lifecycle.schedule(session, made, NOW, now=NOW)
        lifecycle.start(session, made, now=NOW)
        segments.freeze(session, made)
        segments.change(session, segment, rule=NOBODY, now=NOW)

    assert _count(ground, made) == (3, {"segment": 3})
    with ground.reading() as session:
        assert session.scalars(select(CampaignSegment.rule)).all() == [JAPANESE]
        assert session.get_one(Segment, segment).rule == NOBODY


def test_a_copy_takes_the_segments_and_their_rules_of_today(ground, made):
    segment = _segment(ground)
    _narrow(ground, made, segment)
    with ground.writing() as session:
        segments.freeze(session, made)
        segments.change(session, segment, rule=FIRST, now=NOW)
        copied = lifecycle.copy(session, made, "Again", now=NOW).id

    assert _count(ground, copied) == (1, {"segment": 5})


def test_a_segment_that_names_what_is_gone_blocks_and_says_so(ground, made):
    with ground.writing() as session:
        other = make_list(session, "Other").id
    rule = {"none": [{"field": "list", "op": "in", "value": str(other)}, {"field": "attributes.plan", "op": "is", "value": "x"}]}
    _narrow(ground, made, _segment(ground, rule, "Not the others"))
    with ground.writing() as session:
        lists.archive(session, other, now=NOW)
        session.delete(session.scalars(select(Attribute)).one())

    with ground.reading() as session:
        found = [finding for finding in preflight.check(session, made, ground.settings, now=NOW) if finding.rule == "segment"]
        assert [(finding.level, finding.where) for finding in found] == [("error", "recipients")]
        assert "“Not the others”" in found[0].message
        gone = segments.missing(session, rules.read(rule))
        assert [thing for _path, thing in gone] == ["list", "attribute"]


def test_a_campaign_does_not_begin_with_such_a_segment_but_waits_for_a_person(ground, made):
    with ground.writing() as session:
        other = make_list(session, "Other").id
    segment = _segment(ground, {"none": [{"field": "list", "op": "in", "value": str(other)}]})
    _narrow(ground, made, segment)
    with ground.writing() as session:
        lists.archive(session, other, now=NOW)
        lifecycle.schedule(session, made, NOW, now=NOW)
        lifecycle.start(session, made, now=NOW)

    jobs.begin(made)

    with ground.reading() as session:
        campaign = session.get_one(Campaign, made)
        assert (campaign.status, campaign.paused_reason, campaign.paused_detail, campaign.audience) == ("paused", "segment", "Japanese", 0)
    with ground.writing() as session:
        segments.change(session, segment, rule=JAPANESE, now=NOW)
        lifecycle.resume(session, made, now=clock.now())
        assert jobs._freeze_segments(session, made)
        assert session.scalars(select(CampaignSegment.rule)).all() == [JAPANESE]


def test_what_is_not_there_cannot_be_named(ground, made):
    leaf = [
        {"field": "list", "op": "in", "value": "99"},
        {"field": "consent", "op": "given", "value": "Nothing"},
        {"field": "received", "op": "was", "value": "99"},
        {"field": "attributes.unheard_of", "op": "yes"},
    ]
    with ground.writing() as session, pytest.raises(RuleRefused) as refused:
        segments.create(session, "X", {"all": leaf}, now=NOW)

    assert [(fault.path, fault.part) for fault in refused.value.faults] == [
        ((0,), "value"),
        ((1,), "value"),
        ((2,), "value"),
        ((3,), "field"),
    ]


def test_a_name_is_its_own_until_the_segment_is_archived(ground, made):
    first, second = _segment(ground), _segment(ground, FIRST, "First")
    with ground.writing() as session:
        for attempt in (
            lambda: segments.create(session, "Japanese", FIRST, now=NOW),
            lambda: segments.change(session, second, name="Japanese", now=NOW),
        ):
            with pytest.raises(segments.NameTaken):
                attempt()
        segments.archive(session, first, now=NOW)
        with pytest.raises(segments.UnknownSegment):
            segments.get(session, first)
        assert segments.change(session, second, name=" Japanese ", now=NOW).name == "Japanese"
        assert [row.id for row in segments.page(session)[0]] == [row.id for row in segments.choices(session)] == [second]


def test_a_segment_in_use_stays_and_the_reason_names_the_campaign(ground, made):
    segment = _segment(ground)
    _narrow(ground, made, segment)
    with ground.writing() as session:
        with pytest.raises(segments.InUse) as refused:
            segments.archive(session, segment, now=NOW)
        assert refused.value.names == ["Autumn"]

        session.execute(update(Campaign).values(status="sent"))
        segments.archive(session, segment, now=NOW)
        assert [campaign.id for campaign in segments.uses(session, segment)] == [made]


def test_members_are_counted_and_shown(ground, made):
    with ground.reading() as session:
        rule = rules.read(JAPANESE)

        assert segments.count(session, rule, NOW) == 3
        assert [member.id for member in segments.sample(session, rule, NOW)] == [5, 3, 1]


def test_a_count_that_takes_too_long_ends_and_the_transaction_goes_on(ground, made):
    with ground.reading() as session:
        endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
        with pytest.raises(TookTooLong), within(session, 0.05):
            session.execute(endless)

        assert session.scalar(select(func.count(Member.id))) == 6
        with within(session, 5):
            assert session.scalar(select(func.count(Member.id))) == 6
        if not is_sqlite(session):
            assert session.scalar(text("SHOW statement_timeout")) == "0"


def test_an_erased_member_is_in_no_rule_any_more(ground, made):
    segment = _segment(ground, {"any": [{"field": "email", "op": "one_of", "value": ["M1@Members.example", "x@y.example"]}]})
    _narrow(ground, made, segment)
    with ground.writing() as session:
        segments.freeze(session, made)
        erasure.erase(session, 1, now=NOW)

    with ground.reading() as session:
        kept = {"any": [{"field": "email", "op": "one_of", "value": ["-", "x@y.example"]}]}
        assert session.get_one(Segment, segment).rule == kept
        assert session.scalars(select(CampaignSegment.rule)).all() == [kept]
        assert rules.read(kept)

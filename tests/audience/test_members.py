"""Members are added, merged, changed, found and erased; no change ever takes a no back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from kairan import outbox
from kairan.models.audience import Attribute, List, Member
from kairan.models.consent import ConsentRow, ConsentSource, Permission, Wording
from kairan.models.deliveries import Delivery, State
from kairan.models.every import metadata
from kairan.models.suppression import SuppressionReason
from kairan.runtime import Runtime
from mailer.audience import erasure, lists, members, timeline
from mailer.audience.members import Agreed, Given
from tests.audience.conftest import Audience
from tests.support.ground import NOW, make_campaign, make_list, make_members
from unsubscribe import consent, suppression
from unsubscribe.choices import NotPossible

HANA = Given("Hana@Books.example", first_name="Hana", attributes={"size": "M"})
AGREED = Agreed("shop form", "I want the newsletter")
LATER = NOW + timedelta(days=1)


@pytest.fixture
def add(ground: Runtime):
    def add(given: Given = HANA, **how):
        with ground.writing() as session:
            return members.add(session, ground.secrets, given, **{"now": NOW, **how})

    return add


def test_a_new_member_with_consent_is_in_the_list_and_its_words_are_kept(ground: Runtime, news: List, add):
    member, is_new = add(lists=[news.id], agreed=AGREED)

    assert is_new
    with ground.reading() as session:
        assert session.get_one(Permission, (member.id, news.purpose_id)).withdrawn_at is None
        row, words = session.execute(select(ConsentRow, Wording.text).join(Wording)).one()
        assert (row.source, row.detail, words) == ("api", {"source": "shop form"}, "I want the newsletter")
        assert session.execute(select(Attribute.name, Attribute.kind)).all() == [("size", "text")]


def test_without_consent_a_member_is_in_the_list_only(ground: Runtime, news: List, add):
    member, _ = add(lists=[news.id])

    with ground.reading() as session:
        assert members.list_ids(session, [member.id]) == {member.id: [news.id]}
        assert session.execute(select(Permission)).all() == []
        assert lists.counts(session, [news.id]) == {news.id: lists.Counts(members=1, consented=0, suppressed=0)}


def test_a_known_address_is_merged_filled_and_loses_nothing(ground: Runtime, news: List, add):
    add(lists=[news.id], agreed=AGREED)
    with ground.writing() as session:
        other = make_list(session, "Events", "Invitations")

    same = Given("ｈana@books.example", first_name="Other", last_name="Sato", attributes={"size": "L", "vip": True})
    member, is_new = add(same, lists=[other.id], now=LATER)

    assert not is_new
    assert (member.email, member.first_name, member.last_name) == ("Hana@Books.example", "Hana", "Sato")
    assert member.attributes == {"size": "M", "vip": True}
    with ground.reading() as session:
        assert members.list_ids(session, [member.id]) == {member.id: [news.id, other.id]}


def test_a_suppression_stays_whatever_is_added(ground: Runtime, news: List, add):
    member, _ = add(lists=[news.id], agreed=AGREED)
    with ground.writing() as session:
        consent.leave_all(session, member.id, source=ConsentSource.PAGE, now=NOW)

    add(lists=[news.id], agreed=AGREED, now=LATER)

    with ground.reading() as session:
        assert suppression.reason_of(session, member.address_key) == SuppressionReason.UNSUBSCRIBED
        assert lists.counts(session, [news.id])[news.id] == lists.Counts(members=1, consented=1, suppressed=1)


def test_a_topic_the_member_left_is_not_entered_again_without_a_new_consent(ground: Runtime, news: List, add):
    member, _ = add(lists=[news.id], agreed=AGREED)
    with ground.writing() as session:
        consent.opt_out(session, member.id, news.id, source=ConsentSource.PAGE, now=NOW)

    add(lists=[news.id])
    with ground.writing() as session, pytest.raises(lists.LeftByThemselves):
        lists.put_member(session, news.id, member.id, now=LATER)
    with ground.reading() as session:
        assert members.list_ids(session, [member.id]) == {member.id: []}

    add(lists=[news.id], agreed=AGREED, now=LATER)
    with ground.reading() as session:
        assert members.list_ids(session, [member.id]) == {member.id: [news.id]}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (replace(HANA, email="nobody"), "email"),
        (replace(HANA, first_name="x" * 201), "first_name"),
        (replace(HANA, last_name="a\x00b"), "last_name"),
        (replace(HANA, locale="klingon!"), "locale"),
        (replace(HANA, attributes={"Big": 1}), "attributes"),
        (replace(HANA, attributes={"email": "x"}), "attributes"),
        (replace(HANA, attributes={"nested": {"a": 1}}), "attributes"),
        (replace(HANA, attributes={"nan": float("nan")}), "attributes"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(add, given: Given, field: str):
    with pytest.raises(members.FieldRefused) as refused:
        add(given)

    assert refused.value.field == field


def test_asking_by_mail_first_is_not_there_yet_and_says_so(add):
    with pytest.raises(members.FieldRefused, match="sign-up forms"):
        add(confirm=True)


def test_a_list_there_is_not_adds_nobody(ground: Runtime, add):
    with pytest.raises(members.UnknownList):
        add(lists=[99])

    with ground.reading() as session:
        assert session.execute(select(Member)).all() == []


def test_a_change_sets_what_is_given_and_leaves_choices_in_the_ledger(ground: Runtime, news: List, add):
    member, _ = add(lists=[news.id], agreed=AGREED)

    with ground.writing() as session:
        changes = {"last_name": "Sato", "attributes": {"size": None, "city": "Kobe"}, "recording": "none"}
        changed = members.update(session, ground.secrets, member.id, changes, now=LATER)

    assert (changed.first_name, changed.last_name, changed.attributes, changed.recording) == ("Hana", "Sato", {"city": "Kobe"}, "none")
    with ground.reading() as session:
        assert timeline.consents(session, member.id)[0].detail["evidence"] == {"recording": ["identified", "none"]}


def test_a_choice_that_is_not_possible_changes_nothing(ground: Runtime, add):
    member, _ = add()

    with pytest.raises(NotPossible), ground.writing() as session:
        members.update(session, ground.secrets, member.id, {"last_name": "Sato", "format": "pdf"}, now=LATER)

    with ground.reading() as session:
        assert members.get(session, member.id).last_name == ""


def test_a_no_goes_along_to_a_new_address(ground: Runtime, add):
    member, _ = add()
    with ground.writing() as session:
        consent.leave_all(session, member.id, source=ConsentSource.ONE_CLICK, now=NOW)

    with ground.writing() as session:
        moved = members.update(session, ground.secrets, member.id, {"email": "hana@new.example"}, now=LATER)

    with ground.reading() as session:
        assert suppression.reason_of(session, moved.address_key) == SuppressionReason.UNSUBSCRIBED
        assert members.by_email(session, ground.secrets, "HANA@new.example") is not None
        assert members.by_email(session, ground.secrets, "hana@books.example") is None


def test_an_address_of_somebody_else_is_refused(ground: Runtime, add):
    member, _ = add()
    add(Given("bob@books.example"))

    with pytest.raises(members.AddressTaken), ground.writing() as session:
        members.update(session, ground.secrets, member.id, {"email": "BOB@books.example"}, now=LATER)


def test_members_are_found_by_the_beginning_of_address_or_name_and_paged_by_id(ground: Runtime, news: List, add):
    with ground.writing() as session:
        make_members(session, 25, news)

    with ground.reading() as session:
        first, after = members.page(session, limit=20, list_id=news.id)
        rest, end = members.page(session, limit=20, list_id=news.id, after=after or 0)
        assert [len(first), after, len(rest), end] == [20, first[-1].id, 5, None]
        assert [m.email for m in members.page(session, search="M25@")[0]] == ["m25@members.example"]
        assert [m.first_name for m in members.page(session, search="name25")[0]] == ["Name25"]
        assert members.page(session, search="%")[0] == []
        assert members.page(session, search="_")[0] == []


def test_the_timeline_tells_mails_and_acts_newest_first(ground: Runtime, news: List, add):
    member, _ = add(lists=[news.id], agreed=AGREED)
    with ground.writing() as session:
        campaign = make_campaign(session, news)
        mail = Delivery(campaign_id=campaign.id, number=1, member_id=member.id, address_key=member.address_key, state=State.ACCEPTED)
        mail.ended_at = NOW + timedelta(hours=1)
        session.add(mail)
        consent.leave_all(session, member.id, source=ConsentSource.PAGE, campaign_id=campaign.id, now=NOW + timedelta(hours=2))

    with ground.reading() as session:
        entries = timeline.timeline(session, member.id)
        assert [(entry.kind, entry.detail.get("act") or entry.detail["state"]) for entry in entries] == [
            ("consent", "leave_all"),
            ("mail", "accepted"),
            ("consent", "opt_in"),
        ]
        older = timeline.timeline(session, member.id, before=entries[1].at)
        assert [entry.kind for entry in older] == ["consent"]


def test_after_an_erasure_no_table_holds_the_address_and_it_is_not_added_again(ground: Runtime, audience: Audience, add):
    audience.load("email,first_name\nhana@books.example,Hana\nhana@books.example,too,many\n")
    member = audience.members()[0]
    with ground.writing() as session:
        campaign = make_campaign(session, session.get_one(List, audience.list_id))
        session.add(
            Delivery(
                campaign_id=campaign.id, number=1, member_id=member.id, address_key=member.address_key, state=State.REJECTED,
                reply="550 <hana@books.example> unknown",
            )
        )  # fmt: skip
        outbox.put(session, kind="proof", sender="a@b.example", recipient=member.email, message=b"To: hana@books.example\r\n", now=NOW)

    with ground.writing() as session:
        erasure.erase(session, member.id, now=NOW)

    with ground.reading() as session:
        for name in metadata.tables:
            for row in session.execute(text(f'SELECT * FROM "{name}"')):
                assert "hana@books" not in str(tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)), name
        assert session.execute(select(ConsentRow.act).order_by(ConsentRow.id)).scalars().all() == ["opt_in", "erase"]
    with pytest.raises(members.AddressErased):
        add(Given("HANA@books.example"))


def test_two_lists_cannot_have_one_name_and_share_equal_purposes(ground: Runtime):
    with ground.writing() as session:
        lists.create(session, "News", "Our newsletter", now=NOW)
        second = lists.create(session, "Events", " Our newsletter ", now=NOW, public=True)
        with pytest.raises(lists.NameTaken):
            lists.create(session, "News", "Another", now=NOW)
        with pytest.raises(lists.NameTaken):
            lists.change(session, second.id, now=NOW, name="News")

    with ground.reading() as session:
        found = lists.page(session)[0]
        assert [row.name for row in found] == ["News", "Events"]
        assert found[0].purpose_id == found[1].purpose_id


def test_the_suppression_list_pages_and_is_released_with_a_reason(ground: Runtime, add):
    member, _ = add()
    with ground.writing() as session:
        suppression.suppress(session, member.id, SuppressionReason.STAFF, now=NOW, note="asked by phone")
        suppression.suppress_address(session, b"k" * 16, SuppressionReason.BOUNCED, now=NOW)

    with ground.reading() as session:
        first, after = suppression.page(session, limit=1)
        rest, end = suppression.page(session, limit=1, after=after or b"")
        assert end is None
        assert {entry.email for entry in first + rest} == {"Hana@Books.example", None}
    with ground.writing() as session:
        assert suppression.release(session, member.address_key, now=LATER, note="asked again")
        assert not suppression.release(session, member.address_key, now=LATER)
    with ground.reading() as session:
        assert [entry.detail["act"] for entry in timeline.consents(session, member.id)] == ["release", "suppress"]


def test_a_time_zone_is_kept_filled_once_and_no_invented_one_is(ground: Runtime) -> None:
    with ground.writing() as session:
        member, _new = members.add(session, ground.secrets, Given("m@example.com"), now=NOW)
        assert member.time_zone is None
        for zone in ("Asia/Tokyo", "Europe/Berlin"):
            members.add(session, ground.secrets, Given("m@example.com", time_zone=zone), now=NOW)
        assert member.time_zone == "Asia/Tokyo"
        members.update(session, ground.secrets, member.id, {"time_zone": "Europe/Berlin"}, now=NOW)
        assert member.time_zone == "Europe/Berlin"
        with pytest.raises(members.FieldRefused, match="no time zone"):
            members.update(session, ground.secrets, member.id, {"time_zone": "Mars/Base"}, now=NOW)
        members.update(session, ground.secrets, member.id, {"time_zone": ""}, now=NOW)
        assert member.time_zone is None

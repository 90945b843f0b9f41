"""A whole domain on the suppression list stops mail to every address there, however it is written, and to no other."""

import pytest
from sqlalchemy import select

from kairan import addresses
from kairan.models.audience import List, Member
from kairan.models.campaigns import Campaign
from kairan.models.consent import ConsentSource
from kairan.models.deliveries import Delivery, State
from mailer.audience import members
from tests.support.ground import NOW, make_campaign, start_sending
from tests.unsubscribe.conftest import Going
from unsubscribe import consent, domains, moving


def _suppress(going: Going, domain: str) -> bool:
    with going.ground.writing() as session:
        return domains.add(session, domain, now=NOW, actor="account:1", note="closed down")


def test_a_domain_stops_mail_that_is_still_queued_and_says_why(going: Going):
    assert going.gated(1) == [1]

    _suppress(going, "Members.Example")

    assert going.gated(1, keep=True) == []
    with going.ground.reading() as session:
        stopped = session.get_one(Delivery, (going.campaign_id, 1))
        assert (State(stopped.state), stopped.reason) == (State.SUPPRESSED, "domain")


def test_the_next_campaign_counts_its_members_as_left_out(going: Going):
    _suppress(going, "members.example")

    with going.ground.writing() as session:
        second = make_campaign(session, session.get_one(List, going.list_id))
    start_sending(going.ground, second.id)

    with going.ground.reading() as session:
        campaign = session.get_one(Campaign, second.id)
        assert (campaign.audience, campaign.left_out) == (0, {"domain": 3})


@pytest.mark.parametrize(
    ("address", "suppressed", "is_met"),
    [
        ("a@shop.example", "shop.example", True),
        ("a@SHOP.Example", "shop.example", True),
        ("a@shop.example", " @Shop.EXAMPLE ", True),
        ("a@mail.shop.example", "shop.example", False),
        ("a@workshop.example", "shop.example", False),
        ("shop.example@other.example", "shop.example", False),
        ('"a@shop.example"@other.example', "shop.example", False),
        ('"a@b"@shop.example', "shop.example", True),
        ("a@bücher.example", "bücher.example", True),
        ("a@BÜCHER.example", "xn--bcher-kva.example", True),
        ("a@xn--bcher-kva.example", "Bücher.example", True),
        ("a＠ｓｈｏｐ．example", "shop.example", True),
        ("a@例え.example", "例え.example", True),
    ],
)
def test_a_domain_is_met_however_it_is_written(going: Going, address: str, suppressed: str, is_met: bool):
    with going.ground.writing() as session:
        member, _new = members.add(session, going.ground.secrets, members.Given(address), now=NOW)
    _suppress(going, suppressed)

    with going.ground.reading() as session:
        met = session.execute(select(Member.id).where(domains.suppressed())).scalars().all()
        assert met == ([member.id] if is_met else [])
        assert domains.holds(session, address) is is_met
        assert domains.members_at(session, suppressed) == int(is_met)


@pytest.mark.parametrize(
    "wrong", ["", "@", "localhost", "a b.example", "shop..example", "x" * 300 + ".example", "shop.example\n", "a@b.example"]
)
def test_what_is_no_domain_is_refused(going: Going, wrong: str):
    if wrong.strip() != wrong:
        assert _suppress(going, wrong)
        return
    with pytest.raises(addresses.AddressError):
        _suppress(going, wrong)


def test_a_release_lets_mail_go_again_and_leaves_the_addresses_own_noes(going: Going):
    assert _suppress(going, "members.example")
    assert not _suppress(going, "members.example")
    with going.ground.writing() as session:
        consent.leave_all(session, 2, source=ConsentSource.PAGE, now=NOW)

    with going.ground.writing() as session:
        assert domains.release(session, "members.example")
        assert not domains.release(session, "members.example")

    assert going.gated(1) == [1]
    assert going.gated(2) == []


def test_nobody_moves_to_an_address_of_the_domain(going: Going):
    _suppress(going, "closed.example")

    with going.ground.writing() as session:
        assert moving.ask(session, going.ground.secrets, 1, "new@closed.example", now=NOW) is None

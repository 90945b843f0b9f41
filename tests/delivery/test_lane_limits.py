"""What a lane may start: its provider's rate, the slower rates of named domains, today's ceiling; and that what it sends is signed."""

from collections.abc import Callable

import dkim
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, ProviderDay
from kairan.runtime import Runtime
from mailer.delivery import dkim as signing_dkim
from mailer.delivery import domains, jobs, providers, signing
from mailer.delivery.lane import slow_s
from tests.support.fault_smtp import FaultSmtp
from tests.support.ground import states

NewCampaign = Callable[..., int]


def _provider(ground: Runtime, **values: object) -> int:
    with ground.writing() as session:
        row = providers.mirror_environment(session, ground.settings.smtp, clock.now())
        assert row is not None
        for name, value in values.items():
            setattr(row, name, value)
        return row.id


def _verified(message: bytes, published: dict[bytes, bytes], index: int) -> bool:
    message = message.removesuffix(b".\r\n")  # the end of data, not of the mail
    return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: published.get(name)))


def test_todays_ceiling_holds_the_rest_and_counts_what_was_started(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    provider_id = _provider(ground, daily_ceiling=7)
    campaign_id = new_campaign(count=20)

    jobs.run_lane(campaign_id)

    assert len(server.ledger) == 7
    with ground.reading() as session:
        assert states(session, campaign_id) == {"accepted": 7, "queued": 13}
        assert session.scalar(select(ProviderDay.started).where(ProviderDay.provider_id == provider_id)) == 7
        assert session.get_one(Campaign, campaign_id).status == CampaignStatus.SENDING
        assert "13" in (providers.why_waiting(session, clock.now(), campaign_id) or "")


def test_without_a_ceiling_what_was_started_is_counted_too(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    provider_id = _provider(ground)
    jobs.run_lane(new_campaign(count=20))

    with ground.reading() as session:
        assert session.scalar(select(ProviderDay.started).where(ProviderDay.provider_id == provider_id)) == 20


def test_a_rate_makes_nothing_fail_and_sends_all(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    _provider(ground, rate=40.0)
    campaign_id = new_campaign(count=30)

    jobs.run_lane(campaign_id)

    assert len(server.ledger) == 30
    with ground.reading() as session:
        assert states(session, campaign_id) == {"accepted": 30}
        assert set(session.scalars(select(Delivery.fence))) == {1}  # nobody is gated for whom there is no permit


def test_a_slow_domain_does_not_keep_the_others_waiting(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    provider_id = _provider(ground)
    campaign_id = new_campaign(count=30)
    with ground.writing() as session:
        domains.put(session, provider_id, {"docomo": 0.01}, [], clock.now())
        for member in session.scalars(select(Member).order_by(Member.id).limit(10)):
            member.email = member.email.partition("@")[0] + "@docomo.ne.jp"

    jobs.run_lane(campaign_id, seconds=2.0)

    slow = [email for email in server.ledger if email.endswith("@docomo.ne.jp")]
    assert len(server.ledger) - len(slow) == 20
    assert len(slow) <= 1
    with ground.reading() as session:
        found = states(session, campaign_id)
        held = set(session.scalars(select(Chunk.lane_id)))
    assert found == {"accepted": len(server.ledger), "queued": 30 - len(server.ledger)}
    assert held == {None}  # the next lane need not wait for a sweep


def test_a_connection_that_is_lost_again_and_again_is_opened_ever_later() -> None:
    waits = [slow_s(drops) for drops in range(40)]

    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[1] > 0 and waits[-1] <= 5.0


def test_what_a_lane_sends_is_signed_with_both_keys(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    published: dict[bytes, bytes] = {}
    with ground.writing() as session:
        row = signing.add_domain(session, ground.secrets, "books.example", clock.now())
        for key in signing.keys_of(session, row.id):
            signing.activate(session, key, clock.now())
            name, value = f"{key.selector}._domainkey.books.example.", signing_dkim.record(key.algorithm, key.public_key)
            published[name.encode()] = value.encode()

    jobs.run_lane(new_campaign(count=3))

    assert len(server.bodies) == 3
    for message in server.bodies.values():
        for index in range(2):
            assert _verified(message, published, index)

"""Several providers share the mail by weight, stand in for each other, keep to their ceilings, and are tried again."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from sqlalchemy import select, update

from kairan import clock, i18n, installation, vault
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Lane as LaneRow
from kairan.models.deliveries import Provider
from kairan.models.outbox import OutboxMail
from kairan.runtime import Runtime
from mailer.delivery import brakes, ceilings, domains, jobs, provider_changes, providers, system_mail
from mailer.delivery.provider_changes import Wanted
from mailer.delivery.smtp import ProviderTrouble
from tests.support import auth_smtp
from tests.support.fault_smtp import FaultSmtp
from tests.support.ground import states

NOON = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
"""12:00 in Tokyo, where the day ends at 15:00 UTC"""
DAY = timedelta(days=1)
DEAD_PORT = 1
NewCampaign = Callable[..., int]


def _add(ground: Runtime, name: str, port: int = DEAD_PORT, **more: object) -> int:
    wanted = Wanted(name=name, host="127.0.0.1", port=port, security="none", login=None, password=None, **more)  # type: ignore[arg-type]
    with ground.writing() as session:
        return provider_changes.add(session, wanted, vault.of(ground.secrets), clock.now()).id


def _mirrored(ground: Runtime) -> int:
    with ground.writing() as session:
        row = providers.mirror_environment(session, ground.settings.smtp, clock.now())
        assert row is not None
        return row.id


def _without_environment(ground: Runtime) -> None:
    """As if KAIRAN_SMTP_URL were not set."""
    object.__setattr__(ground.settings, "smtp_url", "")


def _choose(ground: Runtime, now: datetime = NOON, mails: int = 0) -> str | None:
    with ground.writing() as session:
        chosen = providers.choose(session, now)
        if chosen is None:
            return None
        if mails:
            ceilings.reserve_today(session, chosen.id, mails, now)
        return chosen.name


# ---- sharing and standing in


def test_those_of_one_position_share_by_weight(ground: Runtime) -> None:
    _add(ground, "one", weight=1)
    _add(ground, "three", weight=3)

    assert Counter(_choose(ground, mails=100) for _ in range(40)) == {"one": 10, "three": 30}


def test_lanes_that_begin_together_do_not_all_choose_the_same(ground: Runtime, new_campaign: NewCampaign, new_lane) -> None:
    ids = {_add(ground, "a"): "a", _add(ground, "b"): "b"}
    campaign_id = new_campaign(count=1)
    chosen = []
    for _ in range(4):
        with ground.writing() as session:
            provider = providers.choose(session, NOON)
            assert provider is not None
            chosen.append(ids[provider.id])
        lane_id = new_lane(campaign_id)
        with ground.writing() as session:
            session.execute(update(LaneRow).where(LaneRow.id == lane_id).values(provider_id=provider.id))

    assert Counter(chosen) == {"a": 2, "b": 2}


def test_a_higher_position_is_used_only_when_all_lower_ones_are_broken_or_full(ground: Runtime) -> None:
    first, second, last = _add(ground, "first", position=1), _add(ground, "second", position=1, daily_ceiling=10), _add(ground, "last")
    with ground.writing() as session:
        until = providers.open_breaker(session, first, "gone", NOON)
        assert ceilings.reserve_today(session, second, 9, NOON) == 9
    assert _choose(ground) == "second"
    with ground.writing() as session:
        assert ceilings.reserve_today(session, second, 9, NOON) == 1

    assert _choose(ground) == "last"
    assert _choose(ground, until + timedelta(seconds=1)) == "first"
    with ground.writing() as session:
        providers.open_breaker(session, last, "gone", NOON)
    assert _choose(ground) is None


def test_one_that_is_switched_off_is_not_used(ground: Runtime) -> None:
    _add(ground, "off", enabled=False, position=1)
    _add(ground, "on")

    assert _choose(ground) == "on"


def test_the_environment_is_mirrored_and_switched_off_with_its_setting(ground: Runtime) -> None:
    _mirrored(ground)
    assert _choose(ground) == "environment"

    with ground.writing() as session:
        assert providers.mirror_environment(session, None, NOON) is None

    assert _choose(ground) is None


def test_traffic_moves_at_once_from_one_that_fails_and_comes_back(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    dead = _add(ground, "dead", position=1)
    campaign_id = new_campaign(count=20)

    jobs.run_lane(campaign_id)  # it meets the dead one, and rings its successor
    assert server.ledger == []
    assert ground.queues.waiting("lane") == 1
    jobs.run_lane(campaign_id)

    assert len(server.ledger) == 20
    with ground.reading() as session:
        assert states(session, campaign_id) == {"accepted": 20}
        row = session.get_one(Provider, dead)
        assert row.broken_until is not None
        assert [lane.provider_id for lane in session.scalars(select(LaneRow).order_by(LaneRow.id))] == [dead, _mirrored_id(session)]


def _system_mail() -> OutboxMail:
    now = clock.now()
    return OutboxMail(
        kind="test", mail_from="club@books.example", recipient="hanako@members.example", message=b"Subject: hi\r\n\r\nhi\r\n",
        due_at=now, created_at=now,
    )  # fmt: skip


def _mirrored_id(session) -> int:
    return session.scalars(select(Provider.id).where(Provider.name == "environment")).one()


def test_with_nobody_to_send_through_no_bell_is_rung_until_one_is_back(ground: Runtime, new_campaign: NewCampaign) -> None:
    _without_environment(ground)
    dead = _add(ground, "dead")
    new_campaign(count=3)
    with ground.writing() as session:
        providers.open_breaker(session, dead, "gone", clock.now())
    assert jobs.ring_waiting(ground) == 0

    with ground.writing() as session:
        providers.close_breaker(session.get_one(Provider, dead))

    assert jobs.ring_waiting(ground) == 1


def test_only_one_provider_lets_a_lane_run_its_minute(ground: Runtime) -> None:
    _mirrored(ground)
    with ground.reading() as session:
        assert providers.lane_seconds(session, 60) == 60
    _add(ground, "second")
    with ground.reading() as session:
        assert providers.lane_seconds(session, 60) == providers.LANE_OF_SEVERAL_S


def test_a_refused_login_pauses_only_when_nobody_else_can_send(ground: Runtime, new_campaign: NewCampaign) -> None:
    one, other = _add(ground, "one"), _add(ground, "other")
    campaign_id = new_campaign(count=1)
    trouble = ProviderTrouble("the server refused the login: 535 no", refused_login=True)

    def fails(provider_id: int) -> str:
        with ground.writing() as session:
            brakes.provider_fails(session, campaign_id=campaign_id, provider_id=provider_id, trouble=trouble, now=clock.now())
            session.flush()
            return session.scalars(select(Campaign.status)).one()

    assert fails(one) == CampaignStatus.SENDING
    assert fails(other) == CampaignStatus.PAUSED


# ---- accounts


def test_a_provider_made_in_the_ui_sends_over_tls_with_its_login(ground: Runtime, new_campaign: NewCampaign, tmp_path, monkeypatch) -> None:
    _without_environment(ground)
    with auth_smtp.running(tmp_path, password="right") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        wanted = Wanted("service", "localhost", server.port, "starttls", "me", "right")
        with ground.writing() as session:
            provider_changes.add(session, wanted, vault.of(ground.secrets), clock.now())
        campaign_id = new_campaign(count=5)

        jobs.run_lane(campaign_id)

        assert len(server.mails) == 5
        assert {login for login in server.logins} == {("me", "right", True)}


def test_an_untrusted_certificate_gets_neither_login_nor_mail(ground: Runtime, new_campaign: NewCampaign, tmp_path) -> None:
    _without_environment(ground)
    with auth_smtp.running(tmp_path) as server:
        with ground.writing() as session:
            wanted = Wanted("service", "localhost", server.port, "starttls", "me", "right")
            provider_changes.add(session, wanted, vault.of(ground.secrets), clock.now())
        campaign_id = new_campaign(count=1)

        jobs.run_lane(campaign_id)

        assert server.sessions == 1
        assert (server.logins, server.mails) == ([], [])
    with ground.reading() as session:
        assert "certificate" in (session.scalars(select(Provider.last_error)).one() or "")
        assert states(session, campaign_id) == {"queued": 1}


def test_a_password_swapped_between_rows_opens_nowhere(ground: Runtime, server: FaultSmtp, new_campaign: NewCampaign) -> None:
    safe = vault.of(ground.secrets)
    with ground.writing() as session:
        rows = [
            provider_changes.add(session, Wanted(name, "127.0.0.1", DEAD_PORT, "tls", "me", name, position=1), safe, clock.now())
            for name in ("one", "two")
        ]
        rows[0].password, rows[1].password = rows[1].password, rows[0].password
    for row in rows:
        with pytest.raises(providers.NoAccount, match="cannot be read"):
            providers.account_of(row, None, safe)
    campaign_id = new_campaign(count=2)

    jobs.run_lane(campaign_id)  # both break, the environment's stands in

    assert len(server.ledger) == 2
    with ground.reading() as session:
        assert all("cannot be read" in (row.last_error or "") for row in session.scalars(select(Provider).where(Provider.login == "me")))


# ---- ceilings


def test_a_ceiling_is_kept_by_all_machines_together(ground: Runtime) -> None:
    provider_id = _add(ground, "one", daily_ceiling=100)
    granted: list[int] = []

    def machine() -> None:
        for _ in range(10):
            with ground.writing() as session:
                granted.append(ceilings.reserve_today(session, provider_id, 7, NOON))

    threads = [Thread(target=machine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(granted) == 100
    assert max(granted) == 7


def test_what_did_not_start_is_given_back_and_the_day_ends_where_the_organisation_is(ground: Runtime) -> None:
    provider_id = _add(ground, "one", daily_ceiling=10)
    midnight = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    with ground.writing() as session:
        installation.put(session, "time_zone", "Asia/Tokyo", now=NOON)
        assert ceilings.reserve_today(session, provider_id, 10, NOON) == 10
        ceilings.give_back_today(session, provider_id, 4, NOON)
        assert ceilings.reserve_today(session, provider_id, 10, midnight - timedelta(seconds=1)) == 4
        assert ceilings.reserve_today(session, provider_id, 10, midnight) == 10


def test_another_time_zone_in_mid_day_counts_no_day_twice(ground: Runtime) -> None:
    provider_id = _add(ground, "one", daily_ceiling=10)
    with ground.writing() as session:
        assert ceilings.reserve_today(session, provider_id, 10, NOON) == 10
        installation.put(session, "time_zone", "America/New_York", now=NOON)
        assert ceilings.reserve_today(session, provider_id, 10, NOON + timedelta(hours=1)) == 0
        # 15:00 UTC is 10:00 in New York, still the 24th: the same day goes on there until 05:00 UTC
        assert ceilings.reserve_today(session, provider_id, 10, datetime(2026, 11, 24, 15, 30, tzinfo=UTC)) == 0
        assert ceilings.reserve_today(session, provider_id, 10, datetime(2026, 11, 25, 5, 0, tzinfo=UTC)) == 10


def test_without_a_ceiling_everything_starts_and_is_counted(ground: Runtime) -> None:
    provider_id = _add(ground, "one")
    with ground.writing() as session:
        assert ceilings.reserve_today(session, provider_id, 500, NOON) == 500
        assert ceilings.today(session, NOON)[provider_id].started == 500


def test_a_warm_up_grows_only_after_days_that_were_used_and_ends_at_its_target(ground: Runtime) -> None:
    provider_id = _add(ground, "new", warm_start=100, warm_factor=2.0, warm_target=500, daily_ceiling=1_000)
    with ground.writing() as session:
        row = session.get_one(Provider, provider_id)
        row.warm_since = NOON.date()
        granted = []
        for day, wanted in enumerate((5_000, 60, 5_000, 20, 5_000, 5_000, 5_000)):
            granted.append(ceilings.reserve_today(session, provider_id, wanted, NOON + day * DAY))

    # 100, then 200 of which 60 are too few, 200 again; 400 of which 20 are too few; 400 again; then 800 is past the target: the ceiling
    assert granted == [100, 60, 200, 20, 400, 1_000, 1_000]


def test_a_pause_of_weeks_is_no_leap(ground: Runtime) -> None:
    provider_id = _add(ground, "new", warm_start=100, warm_factor=2.0, warm_target=50_000)
    with ground.writing() as session:
        session.get_one(Provider, provider_id).warm_since = NOON.date()
        assert ceilings.reserve_today(session, provider_id, 500, NOON) == 100
        assert ceilings.reserve_today(session, provider_id, 500, NOON + 21 * DAY) == 200


def test_the_reason_for_waiting_is_said_in_a_sentence(ground: Runtime, new_campaign: NewCampaign) -> None:
    one, other = _add(ground, "one", daily_ceiling=1_000), _add(ground, "other")
    campaign_id = new_campaign(count=3)
    with ground.writing() as session, i18n.speaking("en"):
        assert providers.why_waiting(session, NOON) is None
        ceilings.reserve_today(session, one, 1_000, NOON)
        providers.open_breaker(session, other, "the server refused the login: 535 no", NOON)
        session.flush()
        full = providers.why_waiting(session, NOON, campaign_id)
        providers.open_breaker(session, one, "no answer", NOON)
        session.flush()
        broken = providers.why_waiting(session, NOON)

    assert full == "Today's ceiling of 1,000 mails is reached: 3 mails wait for tomorrow."
    assert broken is not None
    assert "tried again at" in broken
    assert "12:01" in broken.replace("\u202f", " ")
    assert "no answer" in broken


# ---- slower rates, system mail


def test_a_providers_own_rate_goes_before_the_installations(ground: Runtime) -> None:
    one, other = _add(ground, "one"), _add(ground, "other")
    with ground.writing() as session:
        domains.put(session, None, {"docomo": 5.0}, [("club", ("club.example",), 1.0)], NOON)
        domains.put(session, one, {"docomo": 0.5}, [], NOON)
        assert {limit.name: limit.rate for limit in domains.limits(session, one)} == {"docomo": 0.5, "club": 1.0}
        assert {limit.name: limit.rate for limit in domains.limits(session, other)} == {"docomo": 5.0, "club": 1.0}
        domains.put(session, None, {}, [], NOON)
        assert domains.limits(session, other) == []


def test_every_ready_group_has_a_rate_domains_and_a_source() -> None:
    names = [domain for group in domains.READY.values() for domain in group.domains]

    assert len(names) == len(set(names))
    assert all(group.rate > 0 and group.source.startswith("https://") for group in domains.READY.values())


def test_system_mail_goes_through_the_first_that_can_be_reached(ground: Runtime, server: FaultSmtp) -> None:
    dead = _add(ground, "dead", position=1)
    with ground.writing() as session:
        session.add(_system_mail())

    system_mail.send_due()

    assert server.ledger == ["hanako@members.example"]
    with ground.reading() as session:
        assert session.scalars(select(OutboxMail.state)).one() == "sent"
        assert session.get_one(Provider, dead).broken_until is not None


def test_a_ceiling_that_is_reached_stops_no_system_mail(ground: Runtime, server: FaultSmtp) -> None:
    _without_environment(ground)
    full = _add(ground, "full", port=server.port, daily_ceiling=1)
    with ground.writing() as session:
        ceilings.reserve_today(session, full, 1, clock.now())
        session.add(_system_mail())

    system_mail.send_due()

    assert server.ledger == ["hanako@members.example"]

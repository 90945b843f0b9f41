"""A provider's rate and those of recipient domain groups hold over all lanes, whatever the clocks of their machines say."""

import time

import pytest
from redis import Redis

from mailer.delivery import rates
from mailer.delivery.domains import READY, Limit
from mailer.delivery.rates import BURST_S, Rate

SLOW = Limit("docomo", ("docomo.ne.jp",), 40.0)
GONE = "unix:///nowhere/valkey.sock"


class Clock:
    """A lane's own monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis(valkey: str):
    with Redis.from_url(valkey) as client:
        yield client


def _server_s(redis: Redis) -> float:
    seconds, micros = redis.time()
    return seconds + micros / 1e6


def _take_until(redis: Redis, lanes: list[Rate], wanted: dict[str, int], enough: int) -> tuple[dict[str, int], float]:
    """Lanes that ask in turns until so many were granted: what each group got, and how long it took by the server's clock."""
    began = _server_s(redis)
    got: dict[str, int] = {}
    while sum(got.values()) < enough:
        for lane in lanes:
            for group, count in lane.take(wanted).items():
                got[group] = got.get(group, 0) + count
    return got, _server_s(redis) - began


def test_without_any_limit_nothing_is_asked():
    rate = Rate(Redis.from_url(GONE), 1, 1, None, [])

    assert not rate.limited
    assert rate.take({"": 500}) == {"": 500}
    assert rate.wait_s() == 0


def test_all_lanes_together_never_go_faster_than_the_provider_allows(redis):
    lanes = [Rate(redis, 1, lane, 200.0, []) for lane in range(4)]

    got, took = _take_until(redis, lanes, {"": 30}, 120)

    assert got[""] <= 200 * (took + BURST_S) + 1


def test_a_bucket_begins_empty_and_holds_no_more_than_its_burst(redis):
    rate = Rate(redis, 1, 1, 100.0, [], monotonic=Clock())
    assert rate.take({"": 50}) == {"": 0}  # also after a Redis that lost everything
    assert rate.wait_s() == pytest.approx(0.01)
    key = "kairan:rate:1:buckets"
    redis.hset(key, "at:", f"{_server_s(redis) - 3600:.6f}")

    assert rate.take({"": 1_000}) == {"": 50}


@pytest.mark.parametrize("skew_s", [-86_400, -0.5, 3_600])
def test_the_clocks_of_the_hosts_do_not_matter(redis, monkeypatch, skew_s):
    right, wrong = (Rate(redis, 1, lane, 200.0, [SLOW]) for lane in (1, 2))
    real = time.time
    began = _server_s(redis)
    got = 0
    while got < 100:
        monkeypatch.setattr(time, "time", real)
        got += sum(right.take({"": 20, "docomo": 20}).values())
        monkeypatch.setattr(time, "time", lambda: real() + skew_s)
        got += sum(wrong.take({"": 20, "docomo": 20}).values())
    took = _server_s(redis) - began

    assert got <= 200 * (took + BURST_S) + 1


def test_a_server_clock_that_steps_back_neither_stops_nor_floods(redis):
    rate = Rate(redis, 1, 1, 100.0, [])
    rate.take({"": 1})
    redis.hset("kairan:rate:1:buckets", mapping={"at:": f"{_server_s(redis) + 3600:.6f}", "tokens:": "3"})

    assert rate.take({"": 50}) == {"": 3}
    got, took = _take_until(redis, [rate], {"": 10}, 10)
    assert got[""] <= 100 * (took + BURST_S) + 1


def test_a_domain_group_has_its_own_rate_and_the_others_go_on(redis):
    rate = Rate(redis, 1, 1, None, [SLOW])

    got, took = _take_until(redis, [rate], {"": 100, "docomo": 10}, 1_000)

    assert got["docomo"] <= 40 * (took + BURST_S) + 1
    assert got[""] >= 900


def test_the_providers_rate_covers_all_groups_together_and_starves_none(redis):
    rate = Rate(redis, 1, 1, 100.0, [Limit("docomo", ("docomo.ne.jp",), 100.0)])
    key = "kairan:rate:1:buckets"
    rate.take({"": 1, "docomo": 1})
    long_ago = f"{_server_s(redis) - 60:.6f}"
    redis.hset(key, mapping={"at:": long_ago, "at:docomo": long_ago})

    granted = rate.take({"": 500, "docomo": 50})

    assert sum(granted.values()) == 50
    assert granted["docomo"] >= 4  # 50 of 550 wishes
    assert granted[""] > granted["docomo"]


def test_a_full_bucket_does_not_lend_to_a_group_that_has_none_left(redis):
    rate = Rate(redis, 1, 1, 100.0, [SLOW])
    rate.take({"": 1, "docomo": 1})
    now = _server_s(redis)
    redis.hset("kairan:rate:1:buckets", mapping={"at:": f"{now - 60:.6f}", "at:docomo": f"{now + 60:.6f}", "tokens:docomo": "0"})

    granted = rate.take({"docomo": 30, "": 60})

    assert granted == {"docomo": 0, "": 50}


def test_what_did_not_start_is_given_back(redis):
    rate = Rate(redis, 1, 1, 0.01, [SLOW])
    rate.take({"docomo": 1})
    redis.hset("kairan:rate:1:buckets", mapping={"tokens:": "1", "tokens:docomo": "1"})
    assert rate.take({"docomo": 5}) == {"docomo": 1}
    assert rate.take({"docomo": 5}) == {"docomo": 0}
    assert rate.wait_s() > 60

    rate.give_back({"docomo": 1})

    assert rate.take({"docomo": 5}) == {"docomo": 1}


def test_a_domain_and_those_below_it_belong_to_its_group(redis):
    rate = Rate(redis, 1, 1, None, [Limit(name, group.domains, group.rate) for name, group in READY.items()])

    assert rate.has_groups
    assert rate.group_of("docomo.ne.jp") == "docomo"
    assert rate.group_of("D.Vodafone.ne.jp") == "softbank"
    assert rate.group_of("yahoo.co.jp") == "yahoo_japan"
    assert rate.group_of("yahoo.com") == "yahoo"
    assert rate.group_of("notgmail.com") == ""
    assert rate.group_of("jp") == ""


def test_with_redis_away_a_lane_goes_on_at_its_last_share(redis):
    clock = Clock()
    lanes = [Rate(redis, 1, lane, 100.0, [SLOW], monotonic=clock) for lane in range(4)]
    for lane in lanes:
        lane.take({"": 1})
    rate = lanes[-1]  # it knows of four
    rate._script.registered_client = away = Redis.from_url(GONE)

    assert rate.take({"": 50, "docomo": 50}) == {"": 0, "docomo": 0}
    got = {"": 0, "docomo": 0}
    for _ in range(100):
        clock.now += 0.1
        for group, count in rate.take({"docomo": 5, "": 50}).items():
            got[group] += count

    assert 240 <= sum(got.values()) <= 100 / 4 * 10 + 1
    assert got["docomo"] <= 40 / 4 * 10 + 1
    assert rate.wait_s() <= 1 / 25 + 0.01
    away.close()


def test_a_lane_that_never_heard_redis_starts_nothing():
    rate = Rate(Redis.from_url(GONE), 1, 1, 100.0, [])

    assert rate.take({"": 10}) == {"": 0}
    assert rate.wait_s() > 0


def test_lanes_that_fell_silent_are_no_part_of_the_share(redis):
    for lane in range(3):
        Rate(redis, 1, lane, 100.0, []).take({"": 1})
    redis.zadd("kairan:rate:1:seen", {str(lane): _server_s(redis) - rates.SILENT_S - 1 for lane in range(3)})
    rate = Rate(redis, 1, 9, 100.0, [])

    rate.take({"": 1})

    assert rate._lanes == 1

"""A provider's connections are shared among lanes and never granted twice."""

from redis import Redis

from mailer.delivery import throttle
from mailer.delivery.throttle import Share


def test_lanes_share_the_limit_and_never_hold_more_together(valkey: str) -> None:
    redis = Redis.from_url(valkey)
    first, second = Share(redis, 1, 1, 20), Share(redis, 1, 2, 20)

    assert first.renew() == 20
    assert second.renew() == 0  # until the first has given back what is above its share
    assert first.renew() == 10
    assert second.renew() == 10
    redis.close()


def test_what_a_dead_lane_held_is_free_at_once(valkey: str) -> None:
    redis = Redis.from_url(valkey)
    dead, living = Share(redis, 2, 1, 20), Share(redis, 2, 2, 20)
    dead.renew()
    assert living.renew() == 0

    throttle.forget(redis, [2], [1])

    assert living.renew() == 20
    redis.close()

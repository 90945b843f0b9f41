"""The buffer neither loses nor doubles while it has room, and counts what it has no room for."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Away

from tracking import buffer as module
from tracking import packing
from tracking.buffer import FIELD, STREAM, WRITER, Buffer, unretried


@pytest.fixture
def redis(valkey: str) -> Any:
    with Redis.from_url(valkey) as client:
        yield client


def make(valkey: str, flush_s: float = 3_600) -> Buffer:
    return Buffer(lambda: unretried(valkey), flush_s=flush_s)


def fill(buffer: Buffer, first: int, count: int, agent: str = "Thunderbird") -> None:
    for number in range(first, first + count):
        buffer.add(7, number, 1, 0, False, agent, b"\xcb\x00\x71")


def numbers(redis: "Redis") -> list[int]:
    return [fetch.number for _id, fields in redis.xrange(STREAM) for fetch in packing.unpack(fields[FIELD]).fetches]


def lost(redis: "Redis") -> dict[str, int]:
    found: dict[str, int] = {}
    for _id, fields in redis.xrange(STREAM):
        for code, count in packing.unpack(fields[FIELD]).lost.items():
            found[packing.LOST[code]] = found.get(packing.LOST[code], 0) + count
    return found


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_fetches_reach_the_stream_in_order_and_in_few_entries(valkey: str, redis: "Redis") -> None:
    buffer = make(valkey)

    fill(buffer, 1, 1_200)

    assert buffer.flush() is True
    assert numbers(redis) == list(range(1, 1_201))
    assert redis.xlen(STREAM) == 3


def test_nobody_has_to_ask_for_a_flush(valkey: str, redis: "Redis") -> None:
    buffer = make(valkey, flush_s=0.01)

    fill(buffer, 1, 3)
    wait_for(lambda: numbers(redis) == [1, 2, 3])
    fill(buffer, 4, 3)
    wait_for(lambda: numbers(redis) == [1, 2, 3, 4, 5, 6])

    buffer.stop()


def test_many_threads_lose_nothing(valkey: str, redis: "Redis") -> None:
    buffer = make(valkey, flush_s=0.001)
    threads = [threading.Thread(target=fill, args=(buffer, 1 + 1_000 * place, 1_000)) for place in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.stop()

    assert sorted(numbers(redis)) == list(range(1, 8_001))


def test_what_came_while_redis_was_away_comes_later_in_order(valkey: str, redis: "Redis") -> None:
    is_away = True

    def connect() -> "Redis":
        if is_away:
            raise Away
        return unretried(valkey)

    buffer = Buffer(connect, flush_s=3_600)
    fill(buffer, 1, 10)
    assert buffer.flush() is False
    fill(buffer, 11, 10)
    assert buffer.flush() is False
    is_away = False

    assert buffer.flush() is True
    assert numbers(redis) == list(range(1, 21))


def test_an_answer_that_was_lost_doubles_nothing(valkey: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction arrived, its reply did not: what it carried is not sent again."""
    buffer = make(valkey)
    forget_sent = Buffer._forget_sent
    replies_lost = iter([True, False, False, False])

    def broken(self: Buffer, count: int) -> None:
        if next(replies_lost):
            raise Away
        forget_sent(self, count)

    monkeypatch.setattr(Buffer, "_forget_sent", broken)
    fill(buffer, 1, 700)
    assert buffer.flush() is False
    fill(buffer, 701, 10)

    assert buffer.flush() is True
    assert numbers(redis) == list(range(1, 711))


def test_a_redis_that_lost_everything_gets_what_it_did_not_confirm(valkey: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = make(valkey)
    fill(buffer, 1, 5)
    buffer.flush()
    redis.flushall()
    fill(buffer, 6, 5)

    assert buffer.flush() is True
    assert numbers(redis) == [6, 7, 8, 9, 10]


def test_the_buffer_is_bounded_and_counts_what_it_drops(valkey: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCHES_MAX", 100)
    buffer = make(valkey)

    fill(buffer, 1, 130)
    buffer.flush()
    fill(buffer, 131, 1)
    buffer.flush()

    assert numbers(redis) == [*range(1, 101), 131]
    assert lost(redis) == {"buffer_full": 30}


def test_what_waits_for_redis_is_bounded_in_bytes(valkey: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX_BYTES", 40_000)
    buffer = Buffer(lambda: (_ for _ in ()).throw(Away()), flush_s=3_600)
    for first in range(1, 2_001, 500):
        fill(buffer, first, 500)
        assert buffer.flush() is False
    assert buffer._waiting_bytes <= 40_000

    buffer._connect = lambda: unretried(valkey)
    buffer.flush()
    buffer.flush()

    assert numbers(redis) == list(range(1, 1_001))
    assert lost(redis) == {"buffer_full": 1_000}


def test_the_stream_is_bounded_in_bytes_and_its_oldest_stay(valkey: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = make(valkey)
    fill(buffer, 1, 500)
    buffer.flush()
    monkeypatch.setattr(module, "STREAM_MAX_BYTES", 10_000)
    fill(buffer, 501, 40)
    buffer.flush()
    assert numbers(redis) == list(range(1, 501))

    redis.delete(STREAM)  # drained
    fill(buffer, 541, 1)
    buffer.flush()

    assert numbers(redis) == [541]
    assert lost(redis) == {"stream_full": 40}


def test_made_up_agents_take_no_room(valkey: str) -> None:
    buffer = make(valkey)

    for place in range(module.AGENTS_MAX + 50):
        buffer.add(7, 1, 1, 0, False, f"{place} {'x' * 10_000}", b"")

    assert len(buffer._agents) <= module.AGENTS_MAX
    assert max(map(len, buffer._agents)) == packing.AGENT_MAX


def test_a_forked_child_sends_its_own_fetches_alone(valkey: str, redis: "Redis") -> None:
    buffer = make(valkey)
    fill(buffer, 1, 5)

    # A fork with threads about: the child does nothing but this.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        fill(buffer, 100, 2)
        buffer.stop()
        os._exit(0)
    os.waitpid(child, 0)
    buffer.flush()

    assert sorted(numbers(redis)) == [1, 2, 3, 4, 5, 100, 101]
    assert len(redis.keys(f"{WRITER}*")) == 2

"""How many mails may start now: a provider's rate and those of recipient domain groups, shared by all lanes of all machines.

Token buckets in Redis, changed by one script that takes the time from Redis itself, so the clocks of the machines do not matter.
A bucket begins empty and holds BURST_S at most: however lanes come and go, and even if Redis loses everything, no more than
rate x (seconds + BURST_S) mails (at least one more) start in any span. With Redis away a lane goes on at its last known share.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from kairan.models.deliveries import Provider
from mailer.delivery import domains
from mailer.delivery.domains import Limit

if TYPE_CHECKING:
    from redis import Redis

BURST_S = 0.5
"""how much of its rate a bucket can hold: enough for the batch of one gate, little enough not to be felt as a burst"""
SILENT_S = 15
"""a lane that has not asked for so long has no share any more"""
NOTHING_S = 1.0
"""how long to wait where nobody can say"""
WAIT_MIN_S = 0.01

log = logging.getLogger(__name__)

# KEYS: buckets (hash tokens:GROUP, at:GROUP), seen (zset lane -> server time).
# ARGV: lane, silence s, burst s, rate of the provider (0: none), how many groups, then GROUP, rate (0: none), wanted for each.
# Answer: lanes, microseconds until something more is granted, then one number a group. A negative wish gives back.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.6f', now - tonumber(ARGV[2])))
redis.call('ZADD', KEYS[2], string.format('%.6f', now), ARGV[1])
local lanes = redis.call('ZCARD', KEYS[2])
local burst = tonumber(ARGV[3])

local function filled(name, rate)
  local held = redis.call('HMGET', KEYS[1], 'tokens:' .. name, 'at:' .. name)
  if not held[1] then return 0 end
  local passed = math.max(0, now - tonumber(held[2]))
  return math.min(math.max(1, rate * burst), tonumber(held[1]) + passed * rate)
end
local function keep(name, rate, tokens)
  tokens = math.min(math.max(1, rate * burst), tokens)
  redis.call('HSET', KEYS[1], 'tokens:' .. name, string.format('%.6f', tokens), 'at:' .. name, string.format('%.6f', now))
end

local total_rate = tonumber(ARGV[4])
local total = total_rate > 0 and filled('', total_rate) or 1e15
local count = tonumber(ARGV[5])
local names, rates, most, held, grants, possible = {}, {}, {}, {}, {}, 0
for i = 1, count do
  local at = 6 + (i - 1) * 3
  names[i], rates[i] = ARGV[at], tonumber(ARGV[at + 1])
  held[i] = rates[i] > 0 and filled(names[i], rates[i]) or 1e15
  most[i] = math.min(tonumber(ARGV[at + 2]), math.floor(held[i] + 1e-6))
  grants[i] = most[i]
  possible = possible + math.max(0, most[i])
end
local room = math.floor(total + 1e-6)
if possible > room then -- each group its part, so that none starves; what rounding leaves goes to the first
  local left = room
  for i = 1, count do
    if most[i] > 0 then grants[i] = math.floor(most[i] * room / possible); left = left - grants[i] end
  end
  for i = 1, count do
    local more = math.max(0, math.min(most[i] - grants[i], left))
    grants[i] = grants[i] + more; left = left - more
  end
end
local wait = -1
for i = 1, count do
  total = total - grants[i]
  held[i] = held[i] - grants[i]
  if rates[i] > 0 then keep(names[i], rates[i], held[i]) end
end
if total_rate > 0 then keep('', total_rate, total) end
for i = 1, count do
  local mine = 0
  if rates[i] > 0 then mine = math.max(0, (1 - held[i]) / rates[i]) end
  if total_rate > 0 then mine = math.max(mine, (1 - total) / total_rate) end
  if wait < 0 or mine < wait then wait = mine end
end
redis.call('EXPIRE', KEYS[1], 86400); redis.call('EXPIRE', KEYS[2], 86400)
local answer = {lanes, math.floor(math.max(0, wait) * 1000000)}
for i = 1, count do answer[i + 2] = grants[i] end
return answer
"""


class _Local:
    """A bucket of this lane alone, for as long as Redis is away."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate, self.tokens, self.at = rate, 0.0, now

    def fill(self, now: float) -> float:
        self.tokens = min(max(1.0, self.rate * BURST_S), self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        return self.tokens


class Rate:
    """One lane's way to the buckets of its provider."""

    def __init__(
        self, redis: "Redis", provider_id: int, lane_id: int, rate: float | None, groups: Iterable[Limit], *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._script = redis.register_script(_TAKE)
        self._keys = [f"kairan:rate:{provider_id}:buckets", f"kairan:rate:{provider_id}:seen"]
        self._lane = str(lane_id)
        self._rate = rate or 0.0
        groups = list(groups)
        self._rates = {group.name: group.rate for group in groups}
        self._by_domain = {domain: group.name for group in groups for domain in group.domains}
        self._monotonic = monotonic
        self._lanes = 0
        """how many shared the provider when Redis was last heard; 0: it never was"""
        self._local: dict[str, _Local] = {}
        self._free_at = 0.0
        self.has_groups = bool(groups)
        self.limited = bool(rate) or self.has_groups
        self.group_of = lru_cache(maxsize=20_000)(self._group_of)

    def _group_of(self, domain: str) -> str:
        """The group of a recipient domain or of one above it; "" has no rate of its own."""
        name = domain.lower().rstrip(".")
        while name:
            if found := self._by_domain.get(name):
                return found
            name = name.partition(".")[2]
        return ""

    def take(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """How many of each group may start now. The provider's rate covers all groups together."""
        asked = {group: count for group, count in wanted.items() if count > 0}
        if not self.limited:
            return dict(asked)
        return self._change(asked) if asked else {}

    def give_back(self, unused: Mapping[str, int]) -> None:
        """What was taken and did not start after all (a no of the member stopped it at the gate)."""
        back = {group: -count for group, count in unused.items() if count > 0}
        if self.limited and back:
            self._change(back)

    def wait_s(self) -> float:
        """About how long until take() grants something again."""
        return max(self._free_at - self._monotonic(), 0.0)

    def _change(self, wishes: Mapping[str, int]) -> dict[str, int]:
        from redis.exceptions import RedisError

        arguments: list[str | int | float] = [self._lane, SILENT_S, BURST_S, self._rate, len(wishes)]
        for group, count in wishes.items():
            arguments += [group or "-", self._rates.get(group, 0.0), count]
        try:
            lanes, wait_us, *grants = self._script(keys=self._keys, args=arguments)
        except RedisError:
            return self._change_locally(wishes)
        self._lanes = int(lanes)
        self._local.clear()
        self._free_at = self._monotonic() + max(int(wait_us) / 1e6, WAIT_MIN_S)
        return dict(zip(wishes, map(int, grants), strict=True))

    # ---- without Redis ----

    def _change_locally(self, wishes: Mapping[str, int]) -> dict[str, int]:
        now = self._monotonic()
        if self._lanes == 0:  # nobody knows how many others there are: nothing was ever granted, so nothing is
            self._free_at = now + NOTHING_S
            return dict.fromkeys(wishes, 0)
        if not self._local:
            log.warning("rates not shared: Redis does not answer", extra={"lane": self._lane, "lanes": self._lanes})
        total = self._bucket("", self._rate, now)
        granted = {}
        for group, wish in wishes.items():
            bucket = self._bucket(f"group {group}", self._rates.get(group, 0.0), now)
            granted[group] = min([wish, *(int(held.tokens + 1e-6) for held in (total, bucket) if held)])
            for held in (total, bucket):
                if held:
                    held.tokens -= granted[group]
        waits = [self._local_wait(group, total) for group in wishes]
        self._free_at = now + max(min(waits), WAIT_MIN_S)
        return granted

    def _bucket(self, name: str, rate: float, now: float) -> _Local | None:
        if rate <= 0:
            return None
        bucket = self._local.setdefault(name, _Local(rate / self._lanes, now))
        bucket.fill(now)
        return bucket

    def _local_wait(self, group: str, total: _Local | None) -> float:
        buckets = [bucket for bucket in (total, self._local.get(f"group {group}")) if bucket]
        return max([0.0, *((1 - bucket.tokens) / bucket.rate for bucket in buckets)])


def for_provider(redis: "Redis", provider: Provider, lane_id: int, groups: Iterable[Limit] = ()) -> Rate:
    return Rate(redis, provider.id, lane_id, provider.rate, groups)


def load(session: Session, redis: "Redis", provider: Provider, lane_id: int) -> Rate:
    """With the domain groups that are switched on for it."""
    return for_provider(redis, provider, lane_id, domains.limits(session, provider.id))

"""How many connections a lane may hold: a provider's limit is shared by all lanes of all machines, through Redis.

Strict: what others were granted is never granted again before they gave it back or fell silent. With Redis away a lane keeps what it
has (fail static), since the limit was kept when it was granted.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from redis import Redis

SILENT_S = 15
"""a lane that has not renewed for so long holds nothing any more"""

log = logging.getLogger(__name__)

# KEYS: grants (hash lane -> connections), seen (zset lane -> server time). ARGV: lane, limit, silence in seconds, wish (0: leave).
# Time is Redis's own, so the clocks of the machines do not matter.
_SHARE = """
local now = tonumber(redis.call('TIME')[1])
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3]))) do
  redis.call('HDEL', KEYS[1], lane); redis.call('ZREM', KEYS[2], lane)
end
if tonumber(ARGV[4]) == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1]); redis.call('ZREM', KEYS[2], ARGV[1]); return 0
end
redis.call('ZADD', KEYS[2], now, ARGV[1])
local lanes = redis.call('ZCARD', KEYS[2])
local share = math.max(1, math.floor(tonumber(ARGV[2]) / lanes))
local others = 0
local grants = redis.call('HGETALL', KEYS[1])
for i = 1, #grants, 2 do if grants[i] ~= ARGV[1] then others = others + tonumber(grants[i + 1]) end end
local grant = math.max(0, math.min(share, tonumber(ARGV[2]) - others, tonumber(ARGV[4])))
redis.call('HSET', KEYS[1], ARGV[1], grant)
redis.call('EXPIRE', KEYS[1], 3600); redis.call('EXPIRE', KEYS[2], 3600)
return grant
"""


def forget(redis: "Redis", provider_ids: Iterable[int], lane_ids: Iterable[int]) -> None:
    """Gives back what dead lanes held: without this the others would wait until they have been silent for long enough."""
    from redis.exceptions import RedisError

    lanes = [str(lane_id) for lane_id in lane_ids]
    try:
        for provider_id in provider_ids if lanes else ():
            grants, seen = _keys(provider_id)
            redis.hdel(grants, *lanes)
            redis.zrem(seen, *lanes)
    except RedisError:
        log.warning("connections of dead lanes not given back", extra={"lanes": len(lanes)})


def _keys(provider_id: int) -> tuple[str, str]:
    return f"kairan:connections:{provider_id}:grants", f"kairan:connections:{provider_id}:seen"


class Share:
    """One lane's part of a provider's connections."""

    def __init__(self, redis: "Redis", provider_id: int, lane_id: int, limit: int) -> None:
        self._script = redis.register_script(_SHARE)
        self._keys = [*_keys(provider_id)]
        self._lane = str(lane_id)
        self._limit = limit
        self.granted = 0

    def renew(self, wish: int | None = None) -> int:
        """Asks again; 0 means wait. What is held above the answer must be closed before the next renewal."""
        from redis.exceptions import RedisError

        try:
            answer = self._script(keys=self._keys, args=[self._lane, self._limit, SILENT_S, self._limit if wish is None else wish])
            self.granted = int(cast("int", answer))
        except RedisError:
            log.warning("connection limits not renewed", extra={"granted": self.granted})
        return self.granted

    def give_back(self) -> None:
        self.renew(0)

"""How much of the stream one delivery and one network may fill: what is over it is answered all the same, and counted instead of kept.

It looks at what a flush takes, not at the request: 0.3 us a fetch, with a table that does not grow past its bound.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter

from tracking.packing import NETWORK_FLOOD, TOKEN_FLOOD, Fetch

WINDOW_S = 10.0
TOKEN_MAX = 200
"""fetches of one delivery in a window: a scanner that follows a hundred links twice stays below"""
NETWORK_MAX = 30_000
"""fetches of one network in a window: a provider's image proxies stay below, which share a few dozen networks"""
KEYS_MAX = 100_000
"""deliveries and networks in the table, some 15 MB; when it is full a new window begins early"""
_LOOPBACK = b"\x7f\x00\x00"
_delivery, _network = itemgetter(0, 1), itemgetter(7)

Key = tuple[int, int] | bytes


class Caps:
    """The counts of the running window."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}
        self._until = 0.0

    def sift(self, fetches: list[Fetch], now: float) -> tuple[Sequence[Fetch], dict[int, int]]:
        """(what is kept, code of packing.LOST → how many are not). now: seconds of a clock that never goes back."""
        if now >= self._until or len(self._seen) > KEYS_MAX:
            self._seen = {}
            self._until = now + WINDOW_S
        room = self._room(Counter(map(_delivery, fetches)), TOKEN_MAX) | self._room(Counter(map(_network, fetches)), NETWORK_MAX)
        # Number 0 is everybody who is recorded in the aggregate; without a declared proxy everybody comes from its own address.
        room = {key: left for key, left in room.items() if key not in (b"", _LOOPBACK) and not (isinstance(key, tuple) and key[1] == 0)}
        return _sifted(fetches, room) if room else (fetches, {})

    def _room(self, counts: "Counter[Key]", most: int) -> dict[Key, int]:
        """Whoever goes over the cap now → how many of these still go in."""
        seen, room = self._seen, {}
        for key, count in counts.items():
            before = seen.get(key, 0)
            seen[key] = before + count
            if before + count > most:
                room[key] = max(most - before, 0)
        return room


def _sifted(fetches: Iterable[Fetch], room: dict[Key, int]) -> tuple[list[Fetch], dict[int, int]]:
    kept, lost = [], {TOKEN_FLOOD: 0, NETWORK_FLOOD: 0}
    for fetch in fetches:
        for key, reason in ((_delivery(fetch), TOKEN_FLOOD), (_network(fetch), NETWORK_FLOOD)):
            left = room.get(key)
            if left is not None:
                if not left:
                    lost[reason] += 1
                    break
                room[key] = left - 1
        else:
            kept.append(fetch)
    return kept, {reason: count for reason, count in lost.items() if count}

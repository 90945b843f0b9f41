"""Slows down whoever guesses passwords: after a few failures each further one costs a longer wait, 15 minutes at most.

Counted in Redis, so that all web processes see the same; without Redis in this process alone, since signing in must not need it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

log = logging.getLogger(__name__)
WINDOW_S = 3600
WAIT_MAX_S = 900
FREE_PER_PAIR = 5
"""failures of one address from one network before waiting begins"""
FREE_PER_NETWORK = 30


@dataclass
class SignInLimiter:
    """`redis` is called for a client when needed; whatever it raises, counting goes on in memory."""

    redis: Callable[[], Any]
    _memory: dict[str, tuple[int, float]] = field(default_factory=dict)

    def wait_s(self, email: str, network: str) -> int:
        """How long this pair must wait before its next attempt; 0: not at all."""
        return max(self._left(self._pair(email, network), FREE_PER_PAIR), self._left(self._network(network), FREE_PER_NETWORK))

    def failed(self, email: str, network: str) -> None:
        for key in (self._pair(email, network), self._network(network)):
            self._write(key, self._read(key)[0] + 1)

    def succeeded(self, email: str, network: str) -> None:
        self._write(self._pair(email, network), 0)

    def _left(self, key: str, free: int) -> int:
        failures, last = self._read(key)
        if failures < free:
            return 0
        # 2, 4, 8 … seconds, counted from the last failure.
        wait: float = min(2.0 ** min(failures - free + 1, 20), WAIT_MAX_S)
        return max(0, int(last + wait - time.time() + 0.999))

    def _read(self, key: str) -> tuple[int, float]:
        try:
            found = self.redis().get(key)
            count, last = (found or b"0 0").split()
            return int(count), float(last)
        except Exception:  # any trouble with Redis: a person must still be able to sign in
            return self._memory.get(key, (0, 0.0))

    def _write(self, key: str, count: int) -> None:
        last = time.time()
        self._memory[key] = (count, last)
        if len(self._memory) > 10_000:
            self._memory.clear()
        try:
            self.redis().set(key, f"{count} {last:.3f}", ex=WINDOW_S)
        except Exception:
            log.warning("sign-in limits are counted in this process alone: Redis does not answer")

    @staticmethod
    def _pair(email: str, network: str) -> str:
        return "kairan:signin:" + _digest(f"{email.strip().casefold()} {network}")

    @staticmethod
    def _network(network: str) -> str:
        return "kairan:signin:" + _digest(network)


def _digest(text: str) -> str:
    # No addresses in Redis' memory or logs.
    return blake2b(text.encode(), digest_size=12).hexdigest()

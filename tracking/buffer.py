"""The web process's buffer: fetches go in without a lock and out to the Redis stream every 200 ms, in order, bounded, counted.

kill -9 loses at most 200 ms of fetches. A flush that got no answer is asked about before it is sent again, so none goes in twice.
"""

import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from multiprocessing.util import Finalize
from time import time_ns
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from kairan.settings import SettingError
from tracking import packing
from tracking.caps import Caps
from tracking.packing import Fetch

if TYPE_CHECKING:
    from redis import Redis

STREAM = "kairan:events"
FIELD = b"b"
WRITER = "kairan:events:writer:"
WRITER_KEPT_S = 86_400
FLUSH_S = 0.2
FLUSH_AT = 5_000
FETCHES_MAX = 100_000
"""in the buffer, some 40 MB"""
WAITING_MAX_BYTES = 32 * 1024 * 1024
"""packed and not yet in Redis: 0.9 million fetches"""
STREAM_MAX_BYTES = 128 * 1024 * 1024
AT_ONCE = 40
"""entries a transaction"""
RETRY_MAX_S = 2.0
AGENTS_MAX = 4_096
BUFFER_FULL, STREAM_FULL, TARGET_UNKNOWN = 1, 2, 3

log = logging.getLogger(__name__)


class Buffer:
    """One a process. Its thread starts with the first fetch, so after any fork and only where requests are served."""

    def __init__(self, connect: "Callable[[], Redis]", *, flush_s: float = FLUSH_S) -> None:
        """connect: a client of our own that never retries by itself; see unretried()."""
        self._connect = connect
        self._flush_s = flush_s
        self._agents: dict[str, str] = {}
        self._reset()
        # Not atexit alone: granian's worker is a fork of multiprocessing, which ends with os._exit after these finalizers.
        Finalize(None, _at_exit, args=(weakref.ref(self),), exitpriority=10)
        os.register_at_fork(after_in_child=_in_child(weakref.ref(self)))

    def _reset(self) -> None:
        self._fetches: deque[Fetch] = deque()
        self._caps = Caps()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost: Counter[int] = Counter()
        self._redis: Redis | None = None
        self._writer = f"{WRITER}{os.urandom(8).hex()}"
        self._sent = 0
        self._unsure = False
        self._trouble_since: float | None = None
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    # ---- in the request

    def add(self, campaign_id: int, number: int, kind: int, link: int, is_head: bool, agent: str, network: bytes) -> None:
        """Never waits and never fails; what there is no room for is counted."""
        fetches = self._fetches
        waiting = len(fetches)
        if waiting >= FETCHES_MAX:
            self.lose(BUFFER_FULL)
            return
        known = self._agents.get(agent)
        if known is None:
            known = self._remember(agent)
        # A bare tuple in the order of Fetch: a named one costs three times as much, and the garbage collector never lets go of it.
        fetches.append((campaign_id, number, kind, link, time_ns() // 1_000_000, is_head, known, network))  # type: ignore[arg-type]
        if self._thread is None:
            self._start()
        if waiting >= FLUSH_AT and not self._wake.is_set():
            self._wake.set()

    def lose(self, reason: int, count: int = 1) -> None:
        """A code of packing.LOST; it reaches ingest_counts with the next entry."""
        with self._counting:
            self._lost[reason] += count
        if self._thread is None:
            self._start()

    def _remember(self, agent: str) -> str:
        """Equal agents share one string: thousands of fetches wait here with the same one."""
        agent = agent[: packing.AGENT_MAX]
        if len(self._agents) >= AGENTS_MAX:  # a flood of made-up agents
            self._agents = {}
        return self._agents.setdefault(agent, agent)

    # ---- in the thread

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="tracking-buffer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = self._flush_s
        while not self._stopping:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                went_out = self.flush()
            except Exception:  # whatever it is, events of the next seconds must still find a thread
                log.exception("flush failed")
                went_out = False
            pause = self._flush_s if went_out else min(pause * 2, RETRY_MAX_S)

    def stop(self) -> None:
        """The last flush."""
        self._stopping = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(3)
        self.flush()

    def flush(self) -> bool:
        """Packs what has come and sends what waits. False: Redis is away, and what waits is kept as far as there is room."""
        with self._flushing:
            self._pack()
            while self._waiting:
                try:
                    if not self._send():
                        self._drop_waiting()
                except (RedisError, OSError, SettingError) as error:  # SettingError: the embedded Valkey has not started yet
                    self._note_trouble(error)
                    return False
                self._note_health()
            return True

    def _pack(self) -> None:
        taken = [self._fetches.popleft() for _ in range(len(self._fetches))]
        kept, flood = self._caps.sift(taken, time.monotonic())
        self._lose_again(flood)
        with self._counting:
            lost, self._lost = dict(self._lost), Counter()
        for part in packing.in_entries(kept):
            self._put(part, lost)
            lost = {}
        if lost:
            self._put((), lost)

    def _put(self, fetches: Sequence[Fetch], lost: Mapping[int, int]) -> None:
        entry = packing.pack(fetches, lost)
        if self._waiting_bytes + len(entry) > WAITING_MAX_BYTES:
            self._lose_again({BUFFER_FULL: len(fetches)}, lost)
            return
        self._waiting.append(entry)
        self._waiting_bytes += len(entry)

    def _send(self) -> bool:
        """One transaction of a few entries, at the head of the line. False: the stream is full."""
        redis = self._redis = self._redis or self._connect()
        sent, size = self._look(redis)
        if self._unsure and sent is not None and int(sent) > self._sent:
            self._forget_sent(int(sent) - self._sent)
            return True
        if size > STREAM_MAX_BYTES:
            return False
        entries = list(islice(self._waiting, AT_ONCE))
        self._unsure = True
        with redis.pipeline(transaction=True) as pipe:
            for entry in entries:
                pipe.xadd(STREAM, {FIELD: entry})
            pipe.set(self._writer, self._sent + len(entries), ex=WRITER_KEPT_S)
            pipe.execute()
        self._forget_sent(len(entries))
        return True

    def _look(self, redis: "Redis") -> tuple[bytes | None, int]:
        """How many entries of ours are in, and the bytes of the whole stream (sampled; where that is not allowed, by its length)."""
        with redis.pipeline(transaction=False) as pipe:
            pipe.get(self._writer)
            pipe.xlen(STREAM)
            pipe.memory_usage(STREAM, samples=5)
            sent, length, size = pipe.execute(raise_on_error=False)
        for answer in (sent, length):
            if isinstance(answer, Exception):
                raise answer
        return sent, length * 20_000 if isinstance(size, Exception) else int(size or 0)

    def _forget_sent(self, count: int) -> None:
        for _ in range(min(count, len(self._waiting))):
            self._waiting_bytes -= len(self._waiting.popleft())
        self._sent += count
        self._unsure = False

    def _drop_waiting(self) -> None:
        """The stream is full: the newest are lost, the oldest stay, and the counts go on."""
        for packed in self._waiting:
            entry = packing.unpack(packed)
            self._lose_again({STREAM_FULL: len(entry.fetches)}, entry.lost)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _lose_again(self, *lost: Mapping[int, int]) -> None:
        for counts in lost:
            for reason, count in counts.items():
                if count:
                    self.lose(reason, count)

    def _note_trouble(self, error: Exception) -> None:
        if self._trouble_since is None:
            self._trouble_since = time.monotonic()
            log.warning("events wait: Redis is away", extra={"error": type(error).__name__})

    def _note_health(self) -> None:
        if self._trouble_since is not None:
            log.info("events go on", extra={"waited_s": round(time.monotonic() - self._trouble_since)})
            self._trouble_since = None


def unretried(url: str) -> "Redis":
    """A client that says at once what went wrong: a transaction that redis-py repeats by itself could go in twice."""
    from redis import Redis

    options: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
    return Redis.from_url(url, **options)


def _at_exit(reference: "weakref.ref[Buffer]") -> None:
    buffer = reference()
    if buffer is not None:
        buffer.stop()


def _in_child(reference: "weakref.ref[Buffer]") -> Callable[[], None]:
    """What the parent holds is the parent's to send."""

    def reset() -> None:
        buffer = reference()
        if buffer is not None:
            buffer._reset()

    return reset

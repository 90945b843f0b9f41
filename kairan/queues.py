"""RQ as doorbell and visible queue: jobs carry ids only, as JSON; the database is the truth, so a lost Redis loses nothing.

One queue a worker process: with several RQ uses BLPOP and a job taken by a dying worker is gone.
"""

import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kairan.settings import SettingError, Settings

if TYPE_CHECKING:
    from rq import Queue

log = logging.getLogger(__name__)

LANE = "lane"
MAIL = "mail"
WORK = "work"
NAMES = (LANE, MAIL, WORK)

SOCKET_FILE = "valkey.socket"
"""in the data folder: the path of the embedded Valkey's socket, which lies in a short private folder (107 bytes at most)"""


def redis_url(settings: Settings) -> str:
    """The configured Redis, else the embedded Valkey that runs for this data folder. Raises SettingError where there is none."""
    if settings.redis_url:
        return settings.redis_url
    try:
        socket = (settings.data_dir / SOCKET_FILE).read_text("utf-8").strip()
    except FileNotFoundError as error:
        raise SettingError("no Redis: start `kairan valkey` for this data folder, or set KAIRAN_REDIS_URL") from error
    return f"unix://{Path(socket)}"


class Queues:
    """The Redis connection of this process, and the bells on it."""

    def __init__(self, settings: Settings) -> None:
        from redis import Redis
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry

        self.url = redis_url(settings)
        # Timeouts: a black-holed Redis must not hold a request or a sweep for ever.
        self.redis: Redis = Redis.from_url(
            self.url, socket_timeout=10, socket_connect_timeout=3, health_check_interval=30, retry=Retry(ExponentialBackoff(cap=1), 2)
        )

    def ring(self, name: str, function: str, *arguments: Any, timeout_s: int = 600) -> bool:
        """Rings one bell: a worker of queue `name` calls `function` (dotted path). A fresh id each time, so no ring replaces another.

        False: Redis is away. What was asked for is committed already, and a sweep rings as soon as Redis is back.
        """
        from redis.exceptions import RedisError

        try:
            self.queue(name).enqueue(
                function,
                *arguments,
                job_id=uuid.uuid4().hex,
                job_timeout=-1 if name == LANE else timeout_s,
                result_ttl=0,
                failure_ttl=86_400,
            )
        except RedisError as error:
            log.warning("bell not rung", extra={"queue": name, "error": type(error).__name__})
            return False
        return True

    def waiting(self, name: str) -> int:
        return int(self.queue(name).count)

    def queue(self, name: str) -> "Queue":
        from rq import Queue
        from rq.serializers import JSONSerializer

        return Queue(name, connection=self.redis, serializer=JSONSerializer)

    def close(self) -> None:
        self.redis.close()

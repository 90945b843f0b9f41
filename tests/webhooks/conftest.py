"""A campaign that four members received, a webhook on it, and a receiver that notes what it is posted and answers as it is told."""

import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kairan import clock
from kairan import runtime as process
from kairan.runtime import Runtime
from mailer.webhooks import jobs, settings, words
from mailer.webhooks.settings import Wanted
from tests.support import ground as make
from tests.tracking.conftest import sent as sent


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_with(self, secret: str) -> bool:
        """As the specification says, written anew: HMAC-SHA256 over id.timestamp.body with the base64 part of the secret."""
        key = b64decode(secret.split("_", 1)[1])
        said = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        return self.headers["webhook-signature"] == "v1," + b64encode(hmac.new(key, said, "sha256").digest()).decode()


@dataclass
class Receiver:
    url: str = ""
    posts: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """statuses of the next posts; then 204"""
    hold_s: float = 0.0

    def types(self) -> list[str]:
        return [post.json["type"] for post in self.posts]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posts.append(Received({name.lower(): value for name, value in self.headers.items()}, body))
            time.sleep(found.hold_s)
            self.send_response(found.answers.pop(0) if found.answers else 204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    given = replace(make.make_settings(database_url, tmp_path, redis=valkey), private_targets="127.0.0.1")
    with make.running(given) as started:
        process.use(started)
        yield started
        process.use(None)


@dataclass
class Hook:
    id: int
    secret: str


def add(ground: Runtime, url: str, *kinds: str, **more: Any) -> Hook:
    with ground.writing() as session:
        wanted = Wanted(url, kinds or tuple(words.KINDS), **more)
        row, secret = settings.make(session, ground.secrets, wanted, actor="account:1", now=clock.now())
        return Hook(row.id, secret)


def told(ground: Runtime) -> None:
    """What the scheduler's bell and the worker do."""
    jobs.work()

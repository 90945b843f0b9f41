"""Flows of people through a real browser: an installation in processes of its own, or an app on a server in this process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from kairan import runtime as process
from kairan import settings
from kairan.runtime import Runtime
from mailer.app import create_app
from tests.support.smtp import SmtpSink

READER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0"
"""what a member's mail program calls itself; a headless browser is a machine, and rightly so"""


@pytest.fixture
def ground(database_url: str, valkey: str, smtp_sink: SmtpSink, tmp_path: Path) -> Iterator[Runtime]:
    """An installation that can send, without people and samples."""
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url, "REDIS_URL": valkey, "SMTP_URL": smtp_sink.url}
    given = {f"KAIRAN_{name}": value for name, value in {**environment, "SECRET_KEY": "k" * 40}.items()}
    runtime = process.start(settings.load(given, tmp_path))
    process.use(runtime)
    yield runtime
    process.use(None)
    runtime.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serves an app until the test ends; its address."""
    servers = []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def address(ground: Runtime, serve: Callable[[Flask], str]) -> str:
    return serve(create_app(ground))

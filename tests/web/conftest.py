"""An installation with one person of each role, an app on it, and clients that are signed in."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from kairan import clock, installation, settings
from kairan import runtime as process
from kairan.models.accounts import Role
from kairan.runtime import Runtime
from mailer.accounts import passwords, people, sessions
from mailer.app import create_app
from mailer.web import gatekeeper

PASSWORD = "correct horse battery"
HASH = passwords.hashed(PASSWORD)


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url, "REDIS_URL": valkey, "SECRET_KEY": "k" * 40}
    given = settings.load({f"KAIRAN_{name}": value for name, value in environment.items()}, tmp_path)
    runtime = process.start(given)
    yield runtime
    process.use(None)
    runtime.close()


@pytest.fixture
def app(ground: Runtime) -> Flask:
    with ground.writing() as session:
        for role in Role:
            account = people.add(session, f"{role}@example.org", role, clock.now())
            account.password_hash = HASH
        installation.put(
            session,
            "organisation",
            {"name": "Aoba Club", "address": "1-2-3 Aoba, Sendai", "contact": "hello@example.org"},
            now=clock.now(),
        )
    return create_app(ground)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Where a browser finds the app."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def signed_in(app: Flask, ground: Runtime) -> Callable[[str], "Browser"]:
    """A browser that this role has signed in with."""

    def sign_in(role: str) -> Browser:
        with ground.writing() as session:
            account = people.by_email(session, f"{role}@example.org")
            assert account is not None
            cookie = sessions.sign_in(session, account, clock.now())
            person = sessions.resume(session, cookie, clock.now())
        assert person is not None
        client = app.test_client()
        with app.test_request_context():
            client.set_cookie(gatekeeper.cookie_name("kairan_session"), cookie)
        return Browser(client, person.csrf)

    return sign_in


class Browser:
    """A test client that posts its own forms: with the token, as the same site."""

    def __init__(self, client: FlaskClient, csrf: str) -> None:
        self.client = client
        self.csrf = csrf

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, **more)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        headers = {"Sec-Fetch-Site": "same-origin", **more.pop("headers", {})}
        return self.client.post(path, data={"csrf_token": self.csrf, **(data or {})}, headers=headers, **more)


@pytest.fixture
def admin(signed_in: Callable[[str], Browser]) -> Browser:
    return signed_in("admin")

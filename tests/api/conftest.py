"""An installation that may send, a token of each role, and programs that call its API."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from kairan import clock
from kairan.models.accounts import Role
from kairan.runtime import Runtime
from mailer.accounts import api_tokens
from mailer.app import create_app
from tests.support import ground as rows

SMTP = "smtp://127.0.0.1:1"
"""nothing listens there; nothing here sends"""


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    given = rows.make_settings(database_url, tmp_path, redis=valkey, smtp=SMTP)
    with rows.running(given) as found:
        with found.writing() as session:
            rows.make_organisation(session)
        yield found


@pytest.fixture
def app(ground: Runtime) -> Flask:
    return create_app(ground)


@dataclass
class Program:
    """A program with a token."""

    app: Flask
    secret: str | None

    def __call__(self, method: str, path: str, document: Any = None, **more: Any) -> Any:
        headers = {**({"Authorization": f"Bearer {self.secret}"} if self.secret else {}), **more.pop("headers", {})}
        if document is not None:
            more |= {"data": json.dumps(document), "content_type": "application/json"}
        return self.app.test_client().open(f"/api/v1{path}", method=method, headers=headers, **more)


@pytest.fixture
def program(app: Flask, ground: Runtime) -> Callable[..., Program]:
    def make(role: str | None, **defaults: str) -> Program:
        if role is None:
            return Program(app, None)
        with ground.writing() as session:
            return Program(app, api_tokens.make(session, f"a {role}", role, clock.now(), **defaults))

    return make


@pytest.fixture
def admin(program: Callable[..., Program]) -> Program:
    return program(Role.ADMIN)


@pytest.fixture
def news(ground: Runtime) -> str:
    """A list of three members who consented."""
    with ground.writing() as session:
        found = rows.make_list(session)
        rows.make_members(session, 3, found)
        return str(found.id)


CAMPAIGN = {
    "name": "Autumn",
    "subject": "Autumn news",
    "from_name": "Kairan Books",
    "from_email": "news@books.example",
    "content": {"html": rows.HTML},
}


@pytest.fixture
def campaign(admin: Program, news: str) -> str:
    answer = admin("POST", "/campaigns", {**CAMPAIGN, "lists": [news]})
    assert answer.status_code == 201, answer.json
    return str(answer.json["id"])

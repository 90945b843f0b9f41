"""Webhooks in the settings: made with a secret shown once, tried out, seen, sent again, ended; and the same by API."""

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.webhooks import Webhook, WebhookPost
from kairan.runtime import Runtime
from mailer.accounts import api_tokens
from mailer.webhooks import posts
from tests.web.test_browser import _sign_in as sign_in
from tests.web.test_report_pages import words
from tests.webhooks.conftest import Receiver, add, told
from tests.webhooks.conftest import receiver as receiver

SHOTS = os.environ.get("SHOTS", "")


@pytest.fixture(autouse=True)
def _loopback_allowed(ground: Runtime) -> None:
    object.__setattr__(ground.settings, "private_targets", "127.0.0.1")


def test_a_webhook_is_made_tried_paused_and_ended(ground: Runtime, admin: Any, receiver: Receiver) -> None:
    assert "No program is told yet" in words(admin.get("/settings/webhooks"))
    made = admin.post("/settings/webhooks/new", {"url": receiver.url, "kind": ["open", "click"]})
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.get_data(as_text=True))

    assert secret is not None and "whsec_" not in admin.get("/settings/webhooks/1").get_data(as_text=True)
    assert admin.post("/settings/webhooks/1/test").status_code == 303
    assert receiver.types() == ["test"] and receiver.posts[0].is_signed_with(secret.group())
    assert "It answered 204." in words(admin.get("/settings/webhooks/1"))
    assert "Delivered" in words(admin.get("/settings/webhooks/1/posts/1"))

    admin.post("/settings/webhooks/1/switch")
    assert "Switch on" in words(admin.get("/settings/webhooks/1"))
    admin.post("/settings/webhooks/1/switch")
    admin.post("/settings/webhooks/1/posts/1/again")
    told(ground)
    assert [post.id for post in receiver.posts] == [receiver.posts[0].id] * 2
    admin.post("/settings/webhooks/1/delete")
    with ground.reading() as session:
        assert not session.scalars(select(Webhook)).all() and not session.scalars(select(WebhookPost)).all()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"url": "http://10.0.0.8/x", "kind": "open"}, "This address cannot be used"),
        ({"url": "ftp://example.org/x", "kind": "open"}, "This address cannot be used"),
        ({"url": "http://127.0.0.1/x"}, "Choose at least one kind."),
        ({"url": "http://127.0.0.1/x", "kind": "open", "addresses": "yes"}, "Say what the addresses are for"),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(admin: Any, form: dict[str, Any], said: str) -> None:
    answer = admin.post("/settings/webhooks/new", form)
    assert answer.status_code == 422 and said in words(answer)


def test_webhooks_are_for_administrators(signed_in: Callable[[str], Any]) -> None:
    assert signed_in("marketer").get("/settings/webhooks").status_code == 403
    assert signed_in("analyst").post("/settings/webhooks/new", {"url": "x"}).status_code == 403


def test_the_api_makes_changes_and_ends_them(ground: Runtime, app: Any, receiver: Receiver) -> None:
    with ground.writing() as session:
        token = api_tokens.make(session, "tests", "admin", clock.now())
    client = app.test_client()

    def call(method: str, path: str, **more: Any) -> Any:
        return client.open(f"/api/v1{path}", method=method, headers={"Authorization": f"Bearer {token}", **more.pop("headers", {})}, **more)

    key = {"Idempotency-Key": "one"}
    made = call("POST", "/webhooks", json={"url": receiver.url, "kinds": ["campaign"]}, headers=key)
    assert made.status_code == 201 and made.json["secret"].startswith("whsec_")
    assert call("POST", "/webhooks", json={"url": receiver.url, "kinds": ["campaign"]}, headers=key).json["secret"] == ""
    assert "secret" not in call("GET", "/webhooks/1").json and len(call("GET", "/webhooks").json["items"]) == 1
    assert call("PATCH", "/webhooks/1", json={"enabled": False, "kinds": ["open"]}).json["enabled"] is False
    assert call("PATCH", "/webhooks/1", json={"addresses": True}).status_code == 422
    assert call("POST", "/webhooks", json={"url": "http://10.1.1.1/", "kinds": ["open"]}).status_code == 422
    with ground.writing() as session:
        posts.put(session, 1, "test", "{}", clock.now())
    items = call("GET", "/webhooks/1/messages").json["items"]
    assert [item["type"] for item in items] == ["test"]
    assert call("POST", f"/webhooks/1/messages/{items[0]['id']}/again", json={}).status_code == 202
    assert call("POST", "/webhooks/2/messages/1/again", json={}).status_code == 404
    assert call("DELETE", "/webhooks/1").status_code == 204 and call("GET", "/webhooks/1").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "light", "ja"), pytest.param(1280, "dark", "en", marks=pytest.mark.slow)])
def test_pages_of_webhooks_are_open_to_everybody(
    ground: Runtime,
    address: str,
    receiver: Receiver,
    new_page: Callable[..., Any],
    axe: Callable[..., Any],
    width: int,
    scheme: str,
    language: str,
) -> None:
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    sign_in(page, address, language)
    page.goto(f"{address}/settings/webhooks")
    assert axe(page) == []
    hook = add(ground, receiver.url, "open", "campaign")
    with ground.writing() as session:
        posts.put(session, hook.id, "open", '{"type": "open", "data": {"member_id": "7"}}', clock.now())
    told(ground)
    for name, path in (("list", ""), ("new", "/new"), ("one", "/1"), ("post", "/1/posts/1")):
        page.goto(f"{address}/settings/webhooks{path}")
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/hook-{name}-{width}-{scheme}-{language}.png", full_page=True)

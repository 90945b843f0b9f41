"""Signing in: says nothing about who exists, slows guessing down, and keeps what was typed when a session ends."""

import json
import re

import pytest
from flask.testing import FlaskClient

from kairan import clock
from kairan.models.accounts import Account
from kairan.runtime import Runtime
from mailer.accounts import people
from mailer.accounts.limiter import FREE_PER_PAIR, SignInLimiter
from tests.web.conftest import PASSWORD

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def _token(page: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]


def _sign_in(client: FlaskClient, email: str, password: str, **more):
    token = _token(client.get("/login").get_data(as_text=True))
    return client.post("/login", data={"csrf_token": token, "email": email, "password": password, **more})


def test_a_person_signs_in_and_lands_where_they_wanted_to_go(visitor):
    assert visitor.get("/campaigns").location == "/login?next=/campaigns"

    answer = _sign_in(visitor, "Marketer@Example.org", PASSWORD, next="/campaigns")

    assert answer.location == "/campaigns"
    cookie = next(value for value in answer.headers.getlist("Set-Cookie") if value.startswith("kairan_session"))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert visitor.get("/campaigns").status_code == 200


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(visitor):
    wrong = _sign_in(visitor, "admin@example.org", "not the password")
    unknown = _sign_in(visitor, "nobody@example.org", "not the password")

    def page(answer):
        return re.sub(r'value="[^"]*"', "", answer.get_data(as_text=True))

    assert (wrong.status_code, page(wrong)) == (unknown.status_code, page(unknown)) == (401, page(wrong))


def test_guessing_is_slowed_down_even_for_the_right_password(visitor):
    for _ in range(FREE_PER_PAIR):
        assert _sign_in(visitor, "admin@example.org", "guess").status_code == 401

    assert _sign_in(visitor, "admin@example.org", PASSWORD).status_code == 429
    assert _sign_in(visitor, "marketer@example.org", PASSWORD).status_code == 303


def test_signing_in_works_while_redis_is_away(database_url):
    def no_redis():
        raise ConnectionError

    limiter = SignInLimiter(no_redis)
    for _ in range(FREE_PER_PAIR + 1):
        limiter.failed("a@example.org", "192.0.2.0/24")

    assert limiter.wait_s("a@example.org", "192.0.2.0/24") > 0
    assert limiter.wait_s("b@example.org", "192.0.2.0/24") == 0


def test_nobody_is_led_away_after_signing_in(app):
    for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        assert _sign_in(app.test_client(), "admin@example.org", PASSWORD, next=target).location == "/"


def test_what_was_typed_survives_the_end_of_the_session(admin, ground: Runtime):
    with ground.writing() as session:
        session.get_one(Account, 1).epoch += 1
    typed = {"name": "Autumn <b>programme</b>", "start": "letter"}

    asked = admin.post("/campaigns/new", typed)
    page = asked.get_data(as_text=True)
    kept = re.search(r'name="kept" value="([^"]+)"', page)[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    back = admin.client.post("/login", data={"csrf_token": _token(page), "email": "admin@example.org", "password": PASSWORD, "kept": kept})
    offered = back.get_data(as_text=True)

    assert asked.status_code == 401
    assert json.loads(kept)["target"] == "/campaigns/new"
    assert "Autumn &lt;b&gt;programme&lt;/b&gt;" in offered
    assert admin.client.post("/campaigns/new", data={**typed, "csrf_token": _token(offered)}).status_code == 303


def test_signing_out_ends_the_session_on_the_server(admin, visitor):
    cookie = admin.client.get_cookie("kairan_session").value

    admin.post("/logout")

    visitor.set_cookie("kairan_session", cookie)
    assert visitor.get("/").status_code == 302


# ---- links


def test_a_password_link_works_once(visitor, ground: Runtime, app):
    with ground.writing() as session:
        account = people.add(session, "new@example.org", "analyst", clock.now())
        token = people.password_link(session, account, clock.now())
    form = {"csrf_token": _token(visitor.get(f"/password/{token}").get_data(as_text=True))}

    weak = visitor.post(f"/password/{token}", data={**form, "password": "short"})
    good = visitor.post(f"/password/{token}", data={**form, "password": "a long new password"})

    assert weak.status_code == 422
    assert good.location == "/"
    assert visitor.get("/").status_code == 200
    assert app.test_client().get(f"/password/{token}").status_code == 404


def test_the_first_run_makes_the_administrator_and_says_who_sends(ground: Runtime):
    from kairan import installation
    from mailer.app import create_app

    client = create_app(ground).test_client()
    with ground.writing() as session:
        token = people.setup_link(session, clock.now())
    page = client.get(f"/setup/{token}").get_data(as_text=True)
    form = {
        "csrf_token": _token(page),
        "email": "first@example.org",
        "password": "a long new password",
        "language": "ja",
        "organisation": "青葉クラブ",
        "address": "仙台市",
        "contact": "hello@example.org",
    }

    missing = client.post(f"/setup/{token}", data={**form, "address": ""})
    made = client.post(f"/setup/{token}", data=form)

    assert missing.status_code == 422
    assert 'value="first@example.org"' in missing.get_data(as_text=True)
    assert made.location == "/"
    assert '<html lang="ja"' in client.get("/").get_data(as_text=True)
    with ground.writing() as session:
        assert installation.get(session, "organisation")["name"] == "青葉クラブ"
        assert people.setup_link(session, clock.now()) is None
    assert client.get(f"/setup/{token}").status_code == 404

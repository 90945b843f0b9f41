"""Nothing is served that does not say whom it is for, and nothing is changed that a person did not mean."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from kairan import clock
from kairan.models.accounts import Account
from kairan.models.accounts import Session as SessionRow
from kairan.runtime import Runtime
from mailer.accounts import people, sessions
from mailer.accounts.authorize import ACTIONS, MAY
from mailer.web import gatekeeper

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def _admin_rules(app: Flask):
    return [rule for rule in app.url_map.iter_rules() if rule.rule.split("/")[1] not in gatekeeper.NO_COOKIE]


def _path(rule) -> str:
    return re.sub(r"<(?:int:)?[^>]+>", "1", rule.rule)


def test_every_admin_view_says_whom_it_is_for(app):
    for rule in _admin_rules(app):
        mark = getattr(app.view_functions[rule.endpoint], "kairan_mark", None)

        assert mark is not None, f"{rule} has no mark: it would answer 403 to everybody"
        assert mark.action is None or mark.action in ACTIONS, rule


def test_a_view_without_a_mark_is_served_to_nobody(app, signed_in):
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")

    assert signed_in("admin").get("/forgotten").status_code == 403


def test_every_unsafe_admin_route_refuses_a_post_without_the_token(app, admin):
    for rule in _admin_rules(app):
        if rule.methods & UNSAFE:
            answer = admin.client.post(_path(rule), data={"name": "x"}, headers={"Sec-Fetch-Site": "same-origin"})

            assert answer.status_code == 403, rule


def test_every_unsafe_admin_route_refuses_another_site_even_with_the_token(app, admin):
    for rule in _admin_rules(app):
        if rule.methods & UNSAFE:
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
                answer = admin.client.post(_path(rule), data={"csrf_token": admin.csrf}, headers=headers)

                assert answer.status_code == 403, (rule, headers)


def test_nobody_sees_a_page_that_asks_for_somebody(app, visitor: FlaskClient):
    for rule in _admin_rules(app):
        mark = app.view_functions[rule.endpoint].kairan_mark
        if "GET" in rule.methods and mark.action is not None:
            answer = visitor.get(_path(rule))

            assert answer.status_code == 302, rule
            assert answer.location.startswith("/login"), rule


@pytest.mark.parametrize("role", sorted(MAY))
def test_a_role_is_kept_out_of_what_the_table_does_not_give_it(app, signed_in, role):
    browser = signed_in(role)

    for rule in _admin_rules(app):
        action = app.view_functions[rule.endpoint].kairan_mark.action
        if action and action not in MAY[role]:
            answer = browser.get(_path(rule)) if "GET" in rule.methods else browser.post(_path(rule))

            assert answer.status_code == 403, (role, rule)


def test_pages_carry_the_strict_policy_and_are_not_stored(admin):
    answer = admin.get("/")

    assert answer.status_code == 200
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_no_page_has_inline_style_or_script(app, admin):
    for rule in _admin_rules(app):
        if "GET" in rule.methods and "<" not in rule.rule and not rule.rule.endswith("/preview"):  # a mail in its frame has both
            page = admin.get(rule.rule).get_data(as_text=True)

            assert not re.search(r"<[^>]* style=|<style|<script(?! type=\"module\" src=)|<[^>]* on[a-z]+=", page), rule


def test_a_rendered_page_for_members_sets_no_cookie(visitor):
    answer = visitor.get("/about/tracking")

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_built_files_are_kept_by_browsers_and_pictures_of_mails_are_open_to_webmail(admin, visitor):
    from mailer.web import assets

    built = visitor.get(assets.url("app.css"))
    built.close()
    picture = visitor.get("/m/none.png")

    if assets.are_built():
        assert built.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Cross-Origin-Resource-Policy" not in picture.headers
    assert admin.get("/").headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_fault_is_answered_in_the_words_of_whoever_asked(app, admin, visitor, monkeypatch):
    def broken(*_arguments, **_more):
        raise RuntimeError("secret detail")

    broken.kairan_mark = app.view_functions["home.home"].kairan_mark
    monkeypatch.setitem(app.view_functions, "home.home", broken)
    monkeypatch.setitem(app.view_functions, "member_pages.about_tracking", broken)

    for client, path, words in ((admin.client, "/", "It was written into the log"), (visitor, "/about/tracking", "Nothing was changed")):
        answer = client.get(path)

        assert answer.status_code == 500
        assert words in answer.get_data(as_text=True)
        assert "secret detail" not in answer.get_data(as_text=True)


# ---- sessions


def test_the_cookie_is_not_what_is_stored(admin, ground: Runtime):
    with ground.reading() as session:
        stored = session.scalars(select(SessionRow.id_hash)).all()

    assert all(cookie.value.encode() not in bytes(row) for row in stored for cookie in admin.client._cookies.values())


def test_a_session_ends_after_eight_idle_hours_and_after_a_day_in_all(app, ground: Runtime):
    now = clock.now()
    with ground.writing() as session:
        account = people.by_email(session, "admin@example.org")
        cookie = sessions.sign_in(session, account, now)

    with ground.writing() as session:
        assert sessions.resume(session, cookie, now + timedelta(hours=7, minutes=59)) is not None
        assert sessions.resume(session, cookie, now + timedelta(hours=8, minutes=1)) is None
        sessions.touch(session, cookie, now + timedelta(hours=23))
    with ground.writing() as session:
        assert sessions.resume(session, cookie, now + timedelta(hours=23, minutes=59)) is not None
        assert sessions.resume(session, cookie, now + timedelta(hours=24, minutes=1)) is None


def test_a_new_password_signs_every_browser_out(admin, ground: Runtime):
    with ground.writing() as session:
        people.set_password(session, people.by_email(session, "admin@example.org"), "another long password")

    assert admin.get("/").status_code == 302


def test_a_disabled_account_is_out_at_once(admin, ground: Runtime):
    with ground.writing() as session:
        people.by_email(session, "admin@example.org").disabled_at = clock.now()

    assert admin.get("/").status_code == 302


def test_over_https_the_cookie_is_bound_to_the_host(ground: Runtime):
    from dataclasses import replace

    from mailer.app import create_admin_app

    ground.settings = replace(ground.settings, base_url="https://mail.example.org")
    with create_admin_app(ground).test_request_context():
        assert gatekeeper.cookie_name("kairan_session") == "__Host-kairan_session"


def test_language_and_theme_are_kept_with_the_account(admin, ground: Runtime):
    admin.post("/preferences", {"language": "ja", "next": "/campaigns"})
    answer = admin.post("/preferences", {"theme": "dark", "next": "//evil.example"})

    assert answer.location == "/"
    page = admin.get("/").get_data(as_text=True)
    assert '<html lang="ja" data-theme="dark">' in page
    with ground.reading() as session:
        assert session.scalar(select(Account.theme).where(Account.email == "admin@example.org")) == "dark"

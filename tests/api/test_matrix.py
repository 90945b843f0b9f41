"""Every operation with no token, a wrong one, and one of each role: never a fault, and nothing without a role that covers it."""

import re

import pytest
from sqlalchemy import select, update

from kairan import clock
from kairan.models.accounts import ApiToken, Role
from mailer.accounts.authorize import MAY
from mailer.api.routes import OPERATIONS

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
GUARDED = [found for found in OPERATIONS if found.action]
assert len(GUARDED) > 30


def _path(found) -> str:
    return re.sub(r"\{\w+\}", "1", found.path)


def _call(program, found, **more):
    return program(found.method, _path(found), {} if isinstance(found.body, type) else None, **more)


def test_without_a_token_nothing_is_answered(program, campaign):
    visitor = program(None)
    for found in GUARDED:
        answer = _call(visitor, found)

        assert answer.status_code == 401, found
        assert answer.content_type == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_or_revoked_token_is_no_token(program, ground):
    program_of_one = program(Role.ADMIN)
    assert program_of_one("GET", "/lists").status_code == 200
    with ground.writing() as session:
        session.execute(update(ApiToken).values(revoked_at=clock.now()))

    assert program_of_one("GET", "/lists").status_code == 401
    assert program(None)("GET", "/lists", headers={"Authorization": "Bearer kairan_wrong"}).status_code == 401
    assert program(None)("GET", "/lists", headers={"Authorization": "Basic eDp5"}).status_code == 401


@pytest.mark.parametrize("role", list(Role))
def test_a_role_does_what_it_covers_and_nothing_else(program, campaign, role):
    caller = program(role)
    for found in GUARDED:
        answer = _call(caller, found)

        assert answer.status_code != 500, (found, answer.json)
        assert (answer.status_code == 403) == (found.action not in MAY[role]), (found, answer.json)


def test_a_token_remembers_when_it_was_used(admin, ground):
    admin("GET", "/lists")

    with ground.reading() as session:
        assert session.scalars(select(ApiToken.used_at)).one() is not None


def test_what_is_not_there_is_a_problem_too(admin):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("DELETE", "/lists", 405),
        ("GET", "/lists/x", 404),
        ("GET", f"/lists/{10**19}", 404),
    ):
        answer = admin(method, path)

        assert answer.status_code == status
        assert answer.content_type == "application/problem+json"
        assert answer.json["status"] == status
    assert "POST" in admin("DELETE", "/lists").headers["Allow"]


def test_a_title_is_said_in_the_callers_language(admin):
    assert admin("GET", "/nothing", headers={"Accept-Language": "ja"}).json["status"] == 404

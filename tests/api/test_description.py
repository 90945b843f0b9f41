"""The description is valid, complete, and made from what really answers."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from mailer.accounts.authorize import ACTIONS
from mailer.api.routes import OPERATIONS

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_it_is_valid_openapi_3_1(program):
    answer = program(None)("GET", "/openapi.json")

    assert answer.status_code == 200
    assert answer.json["openapi"] == "3.1.0"
    validate(answer.json, cls=OpenAPIV31SpecValidator)


@on_sqlite
def test_every_rule_is_in_it(app, program):
    paths = program(None)("GET", "/openapi.json").json["paths"]
    rules = {
        (re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert rules == {(path, method) for path, methods in paths.items() for method in methods}


def test_every_operation_names_an_action_and_says_what_it_does():
    assert {found.action for found in OPERATIONS} - {None} <= ACTIONS
    assert [found.path for found in OPERATIONS if found.action is None] == ["/openapi.json"]
    assert all((found.view.__doc__ or "").strip() for found in OPERATIONS)
    assert len({found.name for found in OPERATIONS}) == len(OPERATIONS)

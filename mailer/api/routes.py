"""The API under /api/v1: every operation behind its token and role, its key, and its checks; every error a problem document."""

import logging
import re
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, json, request
from werkzeug.exceptions import HTTPException

from kairan import clock
from kairan.models.accounts import ApiToken
from kairan.runtime import Runtime
from mailer.accounts import api_tokens
from mailer.accounts.authorize import Forbidden, authorize
from mailer.api import (
    bodies,
    campaign_sending,
    campaigns,
    exports,
    idempotency,
    imports,
    lists,
    members,
    openapi,
    problems,
    reports,
    segments,
    settings,
    suppression_files,
    suppressions,
    versions,
    webhooks,
)
from mailer.api.calls import OPERATIONS, Call, Operation
from mailer.api.idempotency import Answer, Claim, Replayed
from mailer.api.problems import Problem
from mailer.api.shapes import ID_MAX
from mailer.audience import csv_import
from unsubscribe.waiting import wait_for_gated

__all__ = [
    "OPERATIONS",
    "blueprint",
    "campaign_sending",
    "campaigns",
    "exports",
    "imports",
    "lists",
    "members",
    "openapi",
    "reports",
    "segments",
    "settings",
    "suppression_files",
    "suppressions",
    "versions",
    "webhooks",
]  # fmt: skip

blueprint = Blueprint("api", __name__)
log = logging.getLogger(__name__)
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


# ---- who


@blueprint.before_app_request
def answer_unknown_paths() -> Response | None:
    """A path or method that is not there never reaches the blueprint: it is answered here, not as a page."""
    if request.path.split("/", 2)[1] != "api" or request.routing_exception is None:
        return None
    return problems.of_http(request.routing_exception).response()


def _token() -> ApiToken | None:
    """Whose token the request has. Raises Problem for one that does not hold."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return None
    ground, now = _ground(), clock.now()
    with ground.reading() as session:
        found = api_tokens.find(session, secret.strip())
    if found is None:
        raise problems.unauthorized(given=True)
    if api_tokens.is_worth_touching(found, now):
        with ground.writing() as session:
            session.merge(found).used_at = now
    return found


def _ground() -> Runtime:
    return cast(Runtime, current_app.extensions["kairan"])


# ---- one request


def _serve(found: Operation) -> Any:
    def view(**ids: Any) -> Response:
        if found.action is None:
            return _sent(found.view(Call(_ground(), clock.now(), None), **ids))
        token = _token()
        if token is None:
            raise problems.unauthorized(given=False)
        authorize(token, found.action)
        call = Call(_ground(), clock.now(), token)
        said = _said(found)
        call.claim = _claim(token)
        try:
            if call.claim:
                with call.reading() as session:
                    call.claim.look(session, call.now)
            return _sent(found.view(call, **ids, **said))
        except Replayed as replayed:
            return _replayed(replayed.answer)

    return view


def _said(found: Operation) -> dict[str, Any]:
    """Query and body, checked. Leaves the raw body in `g.api_body` for the key."""
    said: dict[str, Any] = {}
    g.api_body = b""
    if found.query is not None:
        said["query"] = bodies.query(request, found.query)
    if isinstance(found.body, str):
        request.max_content_length = csv_import.UPLOAD_MAX_BYTES
        g.api_body = str(request.content_length).encode()
    elif found.body is not None:
        request.max_content_length = bodies.BODY_MAX_BYTES
        g.api_body = bodies.raw(request)
        said["body"] = bodies.parsed(request, g.api_body, found.body)
    return said


def _claim(token: ApiToken) -> Claim | None:
    key = request.headers.get(idempotency.HEADER)
    if key is None or request.method != "POST":
        return None
    if not _KEY.fullmatch(key):
        raise Problem(400, code="idempotency-key")
    return Claim(token.id, key, idempotency.fingerprint(request.method, request.full_path, g.api_body))


def _sent(answer: Answer | Response) -> Response:
    if isinstance(answer, Response):
        response = answer
    elif answer.body is None:
        response = Response(status=answer.status, headers=dict(answer.headers))
    else:
        response = Response(json.dumps(answer.body), answer.status, dict(answer.headers), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _replayed(answer: Answer) -> Response:
    """The first answer may still be waiting for mails that had passed the gate; a repetition waits as it does."""
    for member_id in answer.members:
        wait_for_gated(_ground().database, member_id)
    response = _sent(answer)
    response.headers[idempotency.REPLAYED] = "true"
    return response


# ---- faults


@blueprint.errorhandler(Problem)
def say_problem(problem: Problem) -> Response:
    return problem.response()


@blueprint.errorhandler(Forbidden)
def say_forbidden(_error: Forbidden) -> Response:
    return Problem(403).response()


@blueprint.errorhandler(HTTPException)
def say_http(error: HTTPException) -> Response:
    return problems.of_http(error).response()


@blueprint.errorhandler(Exception)
def say_fault(_error: Exception) -> Response:
    log.exception("call failed", extra={"endpoint": request.endpoint})
    return Problem(500).response()


def _rule(path: str) -> str:
    """`{list_id}` is a whole number that the databases can hold, any other name a text."""
    numbered = re.sub(r"\{(\w+_id)\}", rf"<int(max={ID_MAX}):\1>", path)
    return openapi.PREFIX + re.sub(r"\{(\w+)\}", r"<\1>", numbered)


for _found in OPERATIONS:
    blueprint.add_url_rule(
        _rule(_found.path), _found.name, _serve(_found), methods=[_found.method], provide_automatic_options=False
    )  # fmt: skip

"""Every error of the API as a problem document (RFC 9457). What was sent is never repeated in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flask import Response, json
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext
from mailer.compose.findings import Finding

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: lazy_gettext("The request cannot be read"),
    401: lazy_gettext("A valid token is needed"),
    403: lazy_gettext("This token may not do that"),
    404: lazy_gettext("There is nothing here"),
    405: lazy_gettext("This cannot be done here"),
    409: lazy_gettext("This does not fit what holds now"),
    411: lazy_gettext("The length of the request is missing"),
    413: lazy_gettext("The request is too large"),
    415: lazy_gettext("The request is of a type that is not taken here"),
    422: lazy_gettext("Some of this is not valid"),
    500: lazy_gettext("Something went wrong here"),
}
CODES = {
    400: "unreadable",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    409: "conflict",
    411: "length-required",
    413: "too-large",
}
CODES |= {415: "media-type", 422: "invalid", 500: "fault"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SAID = {
    "missing": lazy_gettext("This is needed."),
    "extra_forbidden": lazy_gettext("There is no such field."),
    "model_type": lazy_gettext("This must be an object."),
    "model_attributes_type": lazy_gettext("This must be an object."),
    "dict_type": lazy_gettext("This must be an object."),
    "list_type": lazy_gettext("This must be a list."),
    "string_type": lazy_gettext("This must be a text."),
    "bool_type": lazy_gettext("This must be true or false."),
    "bool_parsing": lazy_gettext("This must be true or false."),
    "int_type": lazy_gettext("This must be a whole number."),
    "int_parsing": lazy_gettext("This must be a whole number."),
    "string_too_short": lazy_gettext("This is empty."),
    "string_pattern_mismatch": lazy_gettext("This holds a character that cannot stand here."),
}
"""pydantic's error types in our own words; the others are said in pydantic's, which never hold the value"""


class Problem(Exception):
    """Ends the call with this answer; whatever the call has written so far is undone."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        code: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.detail = detail
        self.code = code or CODES.get(status, "error")
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        document: dict[str, Any] = {
            "type": f"urn:kairan:problem:{self.code}",
            "title": str(TITLES.get(self.status, TITLES[500])),
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            "errors": self.errors,
            **self.more,
        }
        return Response(json.dumps(document), self.status, {**self.headers, "Cache-Control": "no-store"}, content_type=MEDIA_TYPE)


def wrong(name: str, detail: str, *, code: str = "") -> Problem:
    """One field of the body that is not valid. `name` such as `email` or `content/mjml`."""
    return Problem(422, code=code, errors=[{"pointer": f"#/{name}" if name else "#", "detail": detail}])


def wrong_parameter(name: str, detail: str) -> Problem:
    return Problem(422, errors=[{"pointer": "#", "parameter": name, "detail": detail}])


def missing() -> Problem:
    return Problem(404)


def with_findings(findings: Sequence[Finding], detail: str) -> Problem:
    """The check before a send has found errors."""
    faults = [finding for finding in findings if finding.level == "error"]
    errors = [{"pointer": f"#/{finding.where.partition(':')[0]}", "detail": finding.message} for finding in faults]
    return Problem(422, detail, code="findings", errors=errors, findings=[asdict(finding) for finding in findings])


def of_validation(error: ValidationError, *, parameters: bool = False) -> Problem:
    """A pointer for every fault."""
    faults = [
        _fault(item["loc"], item["type"], item["msg"], parameters)
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return Problem(422, errors=faults)


def _fault(place: tuple[int | str, ...], kind: str, message: str, parameters: bool) -> dict[str, str]:
    said = _SAID.get(kind)
    detail = str(said) if said else message.removeprefix("Value error, ")
    names = [str(part) for part in place if _NAME.fullmatch(str(part))]
    if parameters:
        return {"pointer": "#", "parameter": names[0] if names else "", "detail": detail}
    return {"pointer": "/".join(["#", *names]), "detail": detail}


def of_http(error: HTTPException) -> Problem:
    """What Flask and Werkzeug raise themselves."""
    status = error.code or 500
    if status == 405:
        allowed = sorted(set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS"})
        return Problem(405, headers={"Allow": ", ".join(allowed)})
    return Problem(status if status in TITLES else 400 if status < 500 else 500)


def unauthorized(given: bool) -> Problem:
    """No token (`given` false), or one that does not hold."""
    detail = _("Send the header “Authorization: Bearer” with a token made by `kairan token add`.")
    challenge = 'Bearer realm="kairan"' + (', error="invalid_token"' if given else "")
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})

"""What a request says, read strictly: JSON of the declared shape and nothing besides."""

import json
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError

from kairan.i18n import gettext as _
from mailer.api import problems
from mailer.api.problems import Problem

BODY_MAX_BYTES = 4 * 1024 * 1024
"""content of a million letters, escaped"""
M = TypeVar("M", bound=BaseModel)


def raw(request: Request) -> bytes:
    """The whole body. Raises Problem where it is shorter than it says; RequestEntityTooLarge."""
    data = request.get_data(cache=False)
    if request.content_length is not None and len(data) != request.content_length:
        raise Problem(400, _("The body ended before its end."))
    return data


def parsed(request: Request, data: bytes, model: type[M]) -> M:
    """An empty body is an empty object. Raises Problem."""
    if data and request.mimetype != "application/json":
        raise Problem(415, _("Send JSON with the header “Content-Type: application/json”."))
    data = data or b"{}"
    _check(data)
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise problems.of_validation(error) from error


def _check(data: bytes) -> None:
    """Raises Problem for what is no JSON, or holds texts that cannot be kept."""
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Problem(400, _("The body is not valid JSON in UTF-8.")) from error
    _check_texts(document)


def _no_number(_name: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _check_texts(document: Any) -> None:
    """No database keeps NUL in a text, and half a surrogate pair is no letter. Raises Problem."""
    waiting = [document]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str) and not is_text(found):
            raise Problem(422, _("A text holds a NUL character or half a letter."))
        if isinstance(found, dict):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list):
            waiting += found


def is_text(found: str) -> bool:
    return "\x00" not in found and not any("\ud800" <= letter <= "\udfff" for letter in found)


def query(request: Request, model: type[M]) -> M:
    """The parameters behind the `?`. Raises Problem."""
    given = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise problems.wrong_parameter(name if name in model.model_fields else "", _("This stands there twice."))
        if not is_text(values[0]):
            raise problems.wrong_parameter(name if name in model.model_fields else "", _("This is not a text."))
        given[name] = values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise problems.of_validation(error, parameters=True) from error

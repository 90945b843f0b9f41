"""The description of the API (OpenAPI 3.1.0), made from the operations themselves."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from flask import Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mailer.api import idempotency
from mailer.api.calls import OPERATIONS, Call, Operation, operation
from mailer.api.problems import MEDIA_TYPE
from mailer.api.shapes import ID_MAX

PREFIX = "/api/v1"
_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "errors"],
    "properties": {
        "type": {"type": "string", "description": "what went wrong, as a name that stays: urn:kairan:problem:…"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "parameter": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_IN_PATH = re.compile(r"\{(\w+)\}")


@operation("GET", "/openapi.json", None, {200: "application/json"})
def show(call: Call) -> Response:
    """This description."""
    return jsonify(document())


@cache
def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    refs, schemas = _schemas(OPERATIONS)
    for found in OPERATIONS:
        paths.setdefault(PREFIX + found.path, {})[found.method.lower()] = _operation(found, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kairan", "version": _version(), "description": "Mail to members: lists, campaigns, reports."},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "made by `kairan token add`"}},
            "schemas": {**schemas, "Problem": _PROBLEM},
            "responses": {
                "Problem": {
                    "description": "A problem document (RFC 9457)",
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _version() -> str:
    try:
        return version("kairan")
    except PackageNotFoundError:
        return "0"


def _schemas(operations: Sequence[Operation]) -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    """(model → reference, name → schema) of all bodies and answers."""
    given = {found.body: "validation" for found in operations if isinstance(found.body, type)}
    said = {model: "serialization" for found in operations for model in found.answers.values() if isinstance(model, type)}
    wanted: Any = [*given.items(), *said.items()]
    refs, definitions = models_json_schema(wanted, ref_template=_REF)
    return {cast(type[BaseModel], model): ref for (model, _mode), ref in refs.items()}, definitions.get("$defs", {})


def _operation(found: Operation, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    said = (found.view.__doc__ or "").strip()
    described: dict[str, Any] = {
        "operationId": found.name,
        "summary": said.split("\n")[0],
        "parameters": [*_path_parameters(found), *_query_parameters(found), *_headers(found)],
        "responses": {
            **{str(status): _answer(status, model, refs) for status, model in found.answers.items()},
            **{str(status): {"$ref": "#/components/responses/Problem"} for status in _problem_statuses(found)},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if found.action is None:
        described["security"] = []
    else:
        described["x-kairan-action"] = found.action
    if found.body is not None:
        described["requestBody"] = _request_body(found, refs)
    return described


def _problem_statuses(found: Operation) -> list[int]:
    own = {401, 403} if found.action else set()
    read = {422} if found.body or found.query else set()
    body = {400, 413, 415} if found.body else set()
    return sorted(own | read | body | set(found.problems) | ({409} if found.method == "POST" else set()))


def _answer(status: int, model: type[BaseModel] | str | None, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    description = {200: "Done", 201: "Made", 202: "Accepted", 204: "Done; nothing to show"}[status]
    if model is None:
        return {"description": description}
    if isinstance(model, str):
        kinds = [model, "text/csv", "application/vnd.apache.parquet"] if model == "application/x-ndjson" else [model]
        schema = {"type": "object"} if model == "application/json" else {"type": "string"}
        return {"description": description, "content": {kind: {"schema": schema} for kind in kinds}}
    return {"description": description, "content": {"application/json": {"schema": refs[model]}}}


def _request_body(found: Operation, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    if isinstance(found.body, str):
        return {"required": True, "content": {found.body: {"schema": {"type": "string"}}}}
    assert found.body is not None
    required = any(field.is_required() for field in found.body.model_fields.values())
    return {"required": required, "content": {"application/json": {"schema": refs[found.body]}}}


def _path_parameters(found: Operation) -> list[dict[str, Any]]:
    digits = {"type": "string", "pattern": f"^[0-9]{{1,{len(str(ID_MAX))}}}$"}
    return [
        {"name": name, "in": "path", "required": True, "schema": digits if name.endswith("_id") else {"type": "string"}}
        for name in _IN_PATH.findall(found.path)
    ]


def _query_parameters(found: Operation) -> list[dict[str, Any]]:
    if found.query is None:
        return []
    schema = found.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: value for key, value in field.items() if key != "title"},
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _headers(found: Operation) -> list[dict[str, Any]]:
    if found.method != "POST":
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": idempotency.KEY_MAX}
    description = "The same call with the same key within 24 hours gets the first answer and does nothing."
    return [{"name": idempotency.HEADER, "in": "header", "required": False, "description": description, "schema": schema}]

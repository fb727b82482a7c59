"""The table as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made at first use."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeGuard

import msgspec
from msgspec import Struct

from minipaas.author.version import own_version
from minipaas.surface.access import Access
from minipaas.surface.call import PATH_PATTERNS, Query
from minipaas.surface.rows.row import Row
from minipaas.surface.table import TABLE
from minipaas.surface.wire import EndEvent, NewsEvent, ProblemBody, StepEvent

_REF = "#/components/schemas/{name}"
_ALWAYS = (400, 403, 500)
"""A bad query, a Host or page of strangers, and what nobody foresaw, can meet every request."""
_WORDS = {
    400: "The request cannot be read.",
    401: "A token is missing, or is not known.",
    403: "The caller may not.",
    404: "There is no such thing.",
    408: "Its bytes came too slowly, or not at all.",
    409: "It clashes with what this box has.",
    413: "It is too large.",
    415: "The body is not application/json.",
    422: "Understood, and refused: signature, trust, downgrade, policy, or malformed content.",
    500: "An error inside minipaas; its number is in the log.",
    502: "Podman said no.",
    503: "Podman cannot be reached, or there are too many event streams.",
    504: "It took too long.",
    507: "There is not enough disk.",
}


def errors_of(row: Row) -> tuple[int, ...]:
    """Every error status that a row may answer with, sorted."""
    return tuple(sorted({*row.errors, *_ALWAYS, 401}))


@cache
def document_json() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """The whole document."""
    rows = [row for row in TABLE if row.api]
    types: list[type] = [ProblemBody, StepEvent, EndEvent, NewsEvent]
    for row in rows:
        kinds = (row.request, row.response, *dict(row.others).values(), row.hears, *row.says)
        types += [kind for kind in kinds if is_struct(kind)]
    _, schemas = msgspec.json.schema_components(list(dict.fromkeys(types)), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "minipaas",
            "version": own_version(),
            "summary": "A small platform on one edge server.",
            "description": "On the Unix socket the peer's user decides; on TCP a token does. "
            "Without one, TCP only reads, and never secrets, environment values or logs.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def is_struct(kind: object) -> TypeGuard[type[Struct]]:
    """Whether it is a type of `wire`."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def _operation(row: Row) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{row.handler.__module__.rpartition('.')[2]}_{row.handler.__name__}",
        "summary": row.summary,
        "description": f"Access: {row.access.value}. {row.access.explained}",
        "security": [{}, {"token": []}] if row.access in (Access.OPEN, Access.UPLOAD) else [{"token": []}],
        "parameters": [*_path_parameters(row), *map(_query_parameter, row.query)],
        "responses": _responses(row),
    }
    if row.request is bytes:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    elif row.request is not None:
        schema = {"$ref": _REF.format(name=row.request.__name__)}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}, "required": row.body_required}
    return operation


def _path_parameters(row: Row) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{PATH_PATTERNS[name]}$"},
        }
        for name in row.path_names
    ]


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any]
    if query.kind is bool:
        schema = {"type": "boolean"}
    elif query.kind is int:
        schema = {"type": "integer", "minimum": query.minimum, "maximum": query.maximum}
    else:
        schema = {"type": "string", "pattern": f"^{query.pattern}$"}
    if query.default is not None:
        schema["default"] = query.default
    return {"name": query.name, "in": "query", "required": False, "description": query.summary, "schema": schema}


def _responses(row: Row) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if isinstance(row.response, type):
        good["content"] = {"application/json": {"schema": {"$ref": _REF.format(name=row.response.__name__)}}}
    elif row.response:
        good["content"] = {row.response: {}}
    problem = {"application/json": {"schema": {"$ref": _REF.format(name="ProblemBody")}}}
    bad = {str(status): {"description": _WORDS[status], "content": problem} for status in errors_of(row)}
    others = {
        str(status): {
            "description": "Done.",
            "content": {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}},
        }
        for status, kind in row.others
    }
    return {str(row.status): good} | others | bad

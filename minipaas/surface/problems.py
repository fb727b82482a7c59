"""Errors as answers: one table from kind (and, for errors of this room, code) to status, and one body for all.

What always holds: a client never sees a stack trace; whatever was not foreseen is logged with a number, and the client
is told the number.
"""

from __future__ import annotations

import logging
import secrets

from aiohttp import web

from minipaas.model.errors import KINDS, Forbidden, Invalid, MinipaasError, Missing
from minipaas.model.typed import to_json
from minipaas.surface.wire import Problem, ProblemBody

log = logging.getLogger("minipaas.surface")

STATUS = {
    "failed": 500,
    "invalid": 422,
    "refused": 422,
    "conflict": 409,
    "forbidden": 403,
    "missing": 404,
    "unreachable": 502,
    "no_space": 507,
    "engine": 502,
    "engine_down": 503,
    "deadline": 504,
}
"""By `MinipaasError.kind`."""

STATUS_BY_CODE = {
    "api.request": 400,
    "api.credentials": 401,
    "api.websocket": 400,
    "api.method": 405,
    "api.too_large": 413,
    "api.media_type": 415,
    "api.expect": 417,
    "api.broken_off": 400,
    "api.busy": 503,
    "page.slow_down": 429,
    "upload.busy": 503,
    "upload.too_large": 413,
    "upload.cut": 400,
    "upload.silent": 408,
    "upload.slow": 408,
}
"""Errors of HTTP itself; these win over the kind."""

if STATUS.keys() != KINDS.keys():
    raise TypeError(f"every kind of error needs a status: {sorted(STATUS.keys() ^ KINDS.keys())}")


def status_of(error: MinipaasError) -> int:
    """The HTTP status that an error travels with."""
    return STATUS_BY_CODE.get(error.code) or STATUS[error.kind]


def problem(error: MinipaasError) -> ProblemBody:
    """The body that an error travels as."""
    return ProblemBody(error=Problem(kind=error.kind, code=error.code, message=error.message, hint=error.hint))


def unforeseen(error: BaseException, what: str) -> MinipaasError:
    """Log what nobody foresaw; an error that says nothing of it but the number to look for."""
    number = secrets.token_hex(4)
    log.error("%s failed (%s)", what, number, exc_info=error)
    return MinipaasError(
        f"cannot answer: an error inside minipaas, number {number}",
        hint=f"look for {number} in the log of serve: journalctl -u minipaas",
        code="api.internal",
    )


def from_http(error: web.HTTPException, request: web.Request) -> MinipaasError:
    """aiohttp's own refusals in our words."""
    path = request.path[:200]
    if error.status == 404:
        return Missing(f"cannot find {path}: no such path", hint="see /api/v1/openapi.json", code="api.path")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Invalid(f"cannot {request.method[:20]} {path}: only {allowed}", code="api.method")
    if error.status == 413:
        return Invalid("cannot take the request: it is too large", code="api.too_large")
    if error.status in (401, 403):
        return Forbidden(f"cannot answer: {error.reason}")
    return Invalid(f"cannot answer: {error.reason}", code="api.request")


def answer(error: MinipaasError) -> web.Response:
    """The whole JSON answer, with the headers its status asks for (RFC 9110)."""
    status = status_of(error)
    response = web.Response(status=status, body=to_json(problem(error)), content_type="application/json")
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="minipaas"'
    if status in (429, 503):
        response.headers["Retry-After"] = "60" if status == 429 else "5"
    return response

"""From a row of the table to a running endpoint: access first, then path, query and body, then the handler.

What always holds: nothing of the body is read, and nothing looked up, before the caller may have it; a browser's form
is only believed with the secret of its page; every refusal has an audit row (rate-limited); every error leaves as JSON,
or as a page where a browser asked for one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from minipaas.model.errors import Forbidden, Invalid, MinipaasError
from minipaas.model.typed import to_json
from minipaas.surface import problems
from minipaas.surface.access import Caller, Policy, check_csrf, check_host, check_site, identify, require
from minipaas.surface.call import Call, Context, check_path, decode, read_query
from minipaas.surface.continuing import go_ahead, still_waits
from minipaas.surface.limits import Limits
from minipaas.surface.rows.row import Row

log = logging.getLogger("minipaas.surface")

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
CALLER = web.RequestKey("CALLER", Caller)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends its own forms with `Origin: null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


def door(context: Context) -> Middleware:
    """The middleware around everything: who asks, from where; and every error as an answer."""

    @web.middleware
    async def pass_door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        caller: Caller | None = None
        try:
            if not _on_socket(request):
                check_host(request.headers, context.hosts)
                check_site(request.method, request.headers)
            local = context.control.config.api.local
            caller = await identify(request, context.registry, context.sessions, local)
            request[CALLER] = caller
            return await handler(request)
        except web.HTTPException as error:
            failure = problems.from_http(error, request)
            response = _answer(request, failure)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except MinipaasError as error:
            if isinstance(error, Forbidden):
                actor = caller.actor if caller else "anonymous"
                origin = caller.origin if caller else f"tcp {request.remote}" if request.remote else "socket"
                await context.refusals.note(actor, origin, request, error)
            return _answer(request, error)
        except ConnectionError:  # the client is gone: nobody is left to tell, and the log is not theirs to fill
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=400)
        except Exception as error:
            return _answer(request, problems.unforeseen(error, f"{request.method} {request.path}"))

    return pass_door


def endpoint(row: Row, context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a row."""

    async def answer(request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        require(caller, row.access, request.method, Policy.of(context.control.config))
        check_path(request)
        call = Call(request, context, caller)
        call.query = read_query(call, row.query) if row.api else {}
        if row.form is not None:
            fields = _fields(request, await _bytes(request, context.limits))
            given = request.headers.get(CSRF_HEADER) or fields.pop(CSRF_FIELD, "")
            fields.pop(CSRF_FIELD, None)
            check_csrf(caller, request.method, given, context.sessions, form=True)
            call.body = _form(fields, row.form)
        else:
            check_csrf(caller, request.method, request.headers.get(CSRF_HEADER, ""), context.sessions, form=False)
        if row.request is not None and not row.streams_in:
            call.body = await _body(request, row, context.limits)
        result = await row.handler(call)
        if isinstance(result, web.StreamResponse):
            return result
        status = next((status for status, kind in row.others if isinstance(result, kind)), row.status)
        response = web.Response(status=status, body=to_json(result), content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on every answer (a signal: also on streams and errors)."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "minipaas"  # and not which Python and which aiohttp


async def _bytes(request: web.Request, limits: Limits) -> bytes:
    """A small request body."""
    too_large = Invalid(
        f"cannot take the request: it is larger than {limits.json_body // 1024} KiB", code="api.too_large"
    )
    if (request.content_length or 0) > limits.json_body:
        raise too_large
    await go_ahead(request)
    data = bytearray()
    try:
        async with asyncio.timeout(limits.body_wait):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > limits.json_body:
                    raise too_large
    except TimeoutError:
        raise Invalid(
            f"cannot read the request: it did not arrive within {limits.body_wait:g} s", code="api.broken_off"
        ) from None
    return bytes(data)


async def _body(request: web.Request, row: Row, limits: Limits) -> object:
    """A small request body, decoded as the row says."""
    data = await _bytes(request, limits)
    if row.request is bytes:
        return data
    if data and request.content_type != "application/json":
        raise Invalid(
            f"cannot read the request: its type is {request.content_type[:100]}, not application/json",
            code="api.media_type",
        )
    assert row.request is not None  # noqa: S101
    return decode(data, row.request)


def _fields(request: web.Request, data: bytes) -> dict[str, str]:
    """A form as a browser sends it (WHATWG URL, application/x-www-form-urlencoded). Raises Invalid."""
    if data and request.content_type != "application/x-www-form-urlencoded":
        raise Invalid(
            f"cannot read the form: its type is {request.content_type[:100]}, not application/x-www-form-urlencoded",
            code="api.media_type",
        )
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=50)
    except (UnicodeDecodeError, ValueError):
        raise Invalid("cannot read the form: it is malformed", code="api.request") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("cannot read the form: a field is there twice", code="api.request")
    return fields


def _form(fields: dict[str, str], kind: type) -> object:
    """The fields as what the row wants. Raises Invalid with the name of what does not fit."""
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot read the form: {error}", code="api.request") from None


def _answer(request: web.Request, error: MinipaasError) -> web.Response:
    """An error as an answer: JSON, or a page where a page was asked for."""
    if problems.status_of(error) >= 500:
        log.error("%s %s: %s", request.method, request.path, error.message)
    response = problems.answer(error)
    if not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        from minipaas.surface.pages import shell

        if error.code == "api.credentials" and request.method in ("GET", "HEAD"):
            return shell.to_sign_in(request)
        response.text = shell.error_page(request, error)
        response.content_type = "text/html"
        response.headers.popall("WWW-Authenticate", None)  # the page says how; a browser's own dialog would hide it
    response.headers["Cache-Control"] = "no-store"
    if still_waits(request):
        response.force_close()  # the body was never asked for, so nothing that follows could be told apart from it
    return response


def _on_socket(request: web.Request) -> bool:
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and not isinstance(sock.getsockname(), tuple)

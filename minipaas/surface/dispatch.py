"""From a row of the table to a running endpoint: access first, then path, query and body, then the handler.

What always holds: nothing of the body is read, and nothing looked up, before the caller may have it; every refusal has
an audit row (rate-limited); every error leaves as JSON, or as a page where a browser asked for one.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from minipaas.model.errors import Forbidden, Invalid, MinipaasError
from minipaas.model.typed import to_json
from minipaas.surface import problems
from minipaas.surface.access import Caller, check_host, check_site, identify, require
from minipaas.surface.call import PATH_PATTERNS, Call, Context, check_path, decode, read_query
from minipaas.surface.continuing import go_ahead, still_waits
from minipaas.surface.limits import Limits
from minipaas.surface.table import Row

log = logging.getLogger("minipaas.surface")

CALLER = web.RequestKey("CALLER", Caller)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Refusals:
    """Audit rows for refused requests, so many a minute at most: a knock on the door must not fill the disk."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._minute = 0
        self._count = 0

    async def note(self, caller: Caller | None, request: web.Request, error: MinipaasError) -> None:
        """Write down who was refused what. Never fails: the refusal itself matters more."""
        now = time.time()
        if int(now // 60) != self._minute:
            self._minute, self._count = int(now // 60), 0
        self._count += 1
        actor = caller.actor if caller else "anonymous"
        origin = caller.origin if caller else f"tcp {request.remote}" if request.remote else "socket"
        what = f"{request.method[:20]} {request.path[:200]}"
        log.warning("refused %s to %s (%s): %s", what, actor, origin, error.message)
        if self._count > self._context.limits.refusals_per_minute:
            return
        app = request.match_info.get("app")
        try:
            await self._context.registry.audit(
                actor=actor,
                action="refused",
                subject=what,
                origin=origin,
                result=error.message,
                now=now,
                app=app if app is not None and re.fullmatch(PATH_PATTERNS["app"], app) else None,
            )
        except MinipaasError as failure:
            log.warning("cannot audit a refusal: %s", failure.message)


def door(context: Context) -> Middleware:
    """The middleware around everything: who asks, from where; and every error as an answer."""
    refusals = Refusals(context)

    @web.middleware
    async def pass_door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        caller: Caller | None = None
        try:
            if not _on_socket(request):
                check_host(request.headers, context.hosts)
                check_site(request.method, request.headers)
            caller = await identify(request, context.registry)
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
                await refusals.note(caller, request, error)
            return _answer(request, error)
        except ConnectionError:
            raise  # the client is gone: nobody is left to tell
        except Exception as error:
            return _answer(request, problems.unforeseen(error, f"{request.method} {request.path}"))

    return pass_door


def endpoint(row: Row, context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a row."""

    async def answer(request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        require(caller, row.access, request.method, signed_uploads=context.control.config.api.accept_signed_uploads)
        check_path(request)
        call = Call(request, context, caller)
        call.query = read_query(call, row.query) if row.api else {}
        if row.request is not None and not row.streams_in:
            call.body = await _body(request, row, context.limits)
        result = await row.handler(call)
        if isinstance(result, web.StreamResponse):
            return result
        response = web.Response(status=row.status, body=to_json(result), content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on every answer (a signal: also on streams and errors)."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "minipaas"  # and not which Python and which aiohttp


async def _body(request: web.Request, row: Row, limits: Limits) -> object:
    """A small request body, decoded as the row says."""
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
    if row.request is bytes:
        return bytes(data)
    if data and request.content_type != "application/json":
        raise Invalid(
            f"cannot read the request: its type is {request.content_type[:100]}, not application/json",
            code="api.media_type",
        )
    assert row.request is not None  # noqa: S101
    return decode(bytes(data), row.request)


def _answer(request: web.Request, error: MinipaasError) -> web.Response:
    """An error as an answer: JSON, or a page where a page was asked for."""
    if problems.status_of(error) >= 500:
        log.error("%s %s: %s", request.method, request.path, error.message)
    response = problems.answer(error)
    if not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        from minipaas.surface.pages.shell import error_page

        response.text = error_page(request, error)
        response.content_type = "text/html"
        if response.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="minipaas: any name, and a token as password"'
    response.headers["Cache-Control"] = "no-store"
    if still_waits(request):
        response.force_close()  # the body was never asked for, so nothing that follows could be told apart from it
    return response


def _on_socket(request: web.Request) -> bool:
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and not isinstance(sock.getsockname(), tuple)

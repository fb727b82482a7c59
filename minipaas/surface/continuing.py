"""`Expect: 100-continue` (RFC 9110, 10.1.1): a body is asked for when it is wanted, so that a refused upload is
refused before its bulk."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.errors import Invalid
from minipaas.surface import problems

_ASKED = web.RequestKey("_ASKED", bool)


async def expect(request: web.Request) -> web.StreamResponse | None:
    """aiohttp's hook before the handler: unlike its default, it does not ask for the body yet."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        return None
    return problems.answer(Invalid("cannot meet the expectation: only 100-continue is known", code="api.expect"))


async def go_ahead(request: web.Request) -> None:
    """Ask a client that waits to send its body; once."""
    if "Expect" not in request.headers or request.get(_ASKED) or request.version < (1, 1):
        return
    request[_ASKED] = True
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # what follows is still the beginning of the answer


def still_waits(request: web.Request) -> bool:
    """Whether the client holds its body back because nobody asked for it."""
    return "Expect" in request.headers and not request.get(_ASKED)

"""Tokens: who may act over TCP."""

from __future__ import annotations

import time

from aiohttp import web

from minipaas.surface.call import Call
from minipaas.surface.wire import Role
from minipaas.surface.wire_tokens import NewToken, TokenRequest, Tokens, TokenView


async def listing(call: Call) -> Tokens:
    """All, without secrets."""
    rows = await call.registry.tokens()
    return Tokens(tokens=tuple(TokenView(name=row.name, role=Role(row.role), created=row.created) for row in rows))


async def add(call: Call) -> NewToken:
    """Make one; its secret leaves the box in this answer only."""
    wanted: TokenRequest = call.body
    secret = await call.registry.add_token(
        wanted.name, wanted.role, time.time(), actor=call.caller.actor, origin=call.caller.origin
    )
    return NewToken(name=wanted.name, role=wanted.role, secret=secret)


async def revoke(call: Call) -> web.Response:
    """Forget one."""
    await revoke_named(call, call.request.match_info["name"])
    return web.Response(status=204)


async def revoke_named(call: Call, name: str) -> None:
    """Forget the one of this name. Raises Missing."""
    await call.registry.revoke_token(name, actor=call.caller.actor, origin=call.caller.origin, now=time.time())

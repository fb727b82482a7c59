"""Links that sign a browser in, for who has come in by the socket or with a token."""

from __future__ import annotations

import time

from minipaas.model.errors import Conflict
from minipaas.surface.access import unknown_token
from minipaas.surface.call import Call
from minipaas.surface.sessions import Offer
from minipaas.surface.wire_tokens import PageLink

_OF_TOKEN = "token "  # noqa: S105 - a word, no secret
"""How the actor of a token begins."""


async def add(call: Call) -> PageLink:
    """Make one, with the authority of the caller and not more. Raises Conflict when there is no page to open."""
    context, caller = call.context, call.caller
    if not context.listen:
        raise Conflict(
            "cannot make a link to the page: it answers on no address",
            hint='set [api] listen = ["127.0.0.1:7070"] in config.toml, and restart minipaas',
            code="page.off",
        )
    offer = caller.session.offer if caller.session is not None else await _offer(call)
    code = context.sessions.link(offer)
    await call.registry.audit(
        actor=caller.actor,
        action="page.link",
        subject=str(offer.role),
        origin=caller.origin,
        result="made",
        now=time.time(),
    )
    return PageLink(path=f"/sign-in?code={code}", pages=context.pages, seconds=int(context.limits.link_life))


async def _offer(call: Call) -> Offer:
    """A token's link ends with the token, also when the token came by the socket."""
    caller = call.caller
    assert caller.role is not None  # noqa: S101 - the row asks for a role
    token = None
    if caller.actor.startswith(_OF_TOKEN):
        name = caller.actor.removeprefix(_OF_TOKEN)
        token = next((one for one in await call.registry.tokens() if one.name == name), None)
        if token is None:
            raise unknown_token("make a link with the token")
    who = caller.actor.removesuffix(" via socket")
    return Offer(actor=f"{who} via page", role=caller.role, token=token)

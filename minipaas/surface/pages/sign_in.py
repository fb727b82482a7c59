"""`/sign-in` and `/sign-out`: a browser with a token, or with a link of `minipaas page`, gets a session."""

from __future__ import annotations

import re
import time

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import Forbidden, MinipaasError, Refused
from minipaas.surface import problems
from minipaas.surface.access import cookie_name, unknown_token
from minipaas.surface.call import Call
from minipaas.surface.pages.shell import go, render
from minipaas.surface.sessions import Offer
from minipaas.surface.wire import Role

LONGEST = 200
"""Characters of what is pasted."""


class SignIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form."""

    token: str
    next: str = "/"


class SignOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A button."""


async def show(call: Call) -> web.StreamResponse:
    """The form; or, with the code of a link, in at once."""
    query = call.request.query
    if "code" not in query or call.request.method != "GET":  # a look at the address must not use the link up
        return await _form(call, query.get("next", "/"))
    try:
        offer = call.context.sessions.redeem(query["code"][:LONGEST])
    except Forbidden as error:
        return await _refused(call, error, "/")
    return await _signed_in(call, offer, "/")


async def enter(call: Call) -> web.StreamResponse:
    """With a token. A refusal shows the form again."""
    wanted: SignIn = call.body
    token = await call.registry.token(wanted.token.strip()[:LONGEST])
    if token is None:
        return await _refused(call, unknown_token("sign in with this token"), wanted.next)
    return await _signed_in(
        call, Offer(actor=f"token {token.name} via page", role=Role(token.role), token=token), wanted.next
    )


async def leave(call: Call) -> web.StreamResponse:
    """Sign out, and look on as anyone may."""
    if call.caller.session is not None:
        call.context.sessions.end(call.caller.session)
        await _audit(call, call.caller.actor, "page.sign_out", "signed out")
    response = go(call, "/")
    response.del_cookie(cookie_name(call.request.secure), path="/", secure=call.request.secure, httponly=True)
    return response


async def _signed_in(call: Call, offer: Offer, then: str) -> web.StreamResponse:
    sessions = call.context.sessions
    if call.caller.session is not None:
        sessions.end(call.caller.session)
    identity, _ = sessions.open(offer, call.caller.origin)
    await _audit(call, offer.actor, "page.sign_in", "signed in")
    response = go(call, local_path(then))
    response.set_cookie(
        cookie_name(call.request.secure),
        identity,
        max_age=int(call.context.limits.session_life),
        httponly=True,
        secure=call.request.secure,
        samesite="Strict",
        path="/",
    )
    return response


async def _refused(call: Call, wrong: Forbidden, then: str) -> web.Response:
    await call.context.refusals.note(call.caller.actor, call.caller.origin, call.request, wrong)
    try:
        await call.context.wrong_tries.one_more()
    except Refused as busy:
        return await _form(call, then, busy)
    return await _form(call, then, wrong)


async def _form(call: Call, then: str, error: MinipaasError | None = None) -> web.Response:
    status = 200 if error is None else problems.status_of(error)
    problem = None if error is None else problems.problem(error).error
    return await render(call, "sign_in.html", status=status, live=False, problem=problem, next=local_path(then))


async def _audit(call: Call, actor: str, action: str, result: str) -> None:
    await call.registry.audit(
        actor=actor, action=action, subject="page", origin=call.caller.origin, result=result, now=time.time()
    )


def local_path(path: str) -> str:
    """A path of ours to go on to; anything else becomes `/`."""
    return path if re.fullmatch(r"/(?!/)[A-Za-z0-9/_.-]{0,200}", path) else "/"

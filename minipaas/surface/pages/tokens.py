"""The forms for tokens on `/box`: make one, whose secret is shown this once, and revoke one."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import Invalid, MinipaasError
from minipaas.surface.call import Call
from minipaas.surface.handlers import tokens
from minipaas.surface.pages.box import box_page
from minipaas.surface.pages.shell import go, render
from minipaas.surface.wire_tokens import TokenName, TokenRequest

SECTION = "tokens"


class RevokeToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form behind a token's name."""

    name: str


class MakeToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form below the tokens."""

    name: str
    role: str


async def make(call: Call) -> web.StreamResponse:
    """A page with the secret, which nothing shows again."""
    wanted: MakeToken = call.body
    try:
        msgspec.convert(wanted.name, TokenName)
    except msgspec.ValidationError:
        return await box_page(
            call,
            SECTION,
            Invalid(
                f"cannot make a token: {wanted.name[:80]!r} is no name for one",
                hint="a letter or digit first, then letters, digits, dots, dashes and underscores; 64 at most",
                code="token.name",
            ),
        )
    try:
        call.body = msgspec.convert({"name": wanted.name, "role": wanted.role}, TokenRequest)
        made = await tokens.add(call)
    except MinipaasError as error:
        return await box_page(call, SECTION, error)
    except msgspec.ValidationError as error:
        return await box_page(call, SECTION, Invalid(f"cannot make a token: {error}", code="api.request"))
    return await render(call, "token_made.html", status=201, live=False, made=made)


async def revoke(call: Call) -> web.StreamResponse:
    """Back to the tokens, without it."""
    wanted: RevokeToken = call.body
    try:
        await tokens.revoke_named(call, wanted.name)
    except MinipaasError as error:
        return await box_page(call, SECTION, error)
    return go(call, "/box#tokens")

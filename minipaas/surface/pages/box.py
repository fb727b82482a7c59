"""`/box`: the machine now and over time, whom it trusts, its certificates, and for those who may where its logs are
sent, its tokens, and the newest of the audit log."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.errors import MinipaasError
from minipaas.surface import problems
from minipaas.surface.access import Access
from minipaas.surface.call import Call
from minipaas.surface.handlers.audit import rows as audit_rows
from minipaas.surface.handlers.certificates import listing as certificates_listing
from minipaas.surface.handlers.shipping import listing as shipping_listing
from minipaas.surface.handlers.tokens import listing as token_listing
from minipaas.surface.handlers.trust import listing as trust_listing
from minipaas.surface.pages.shell import render
from minipaas.surface.wire import Role

AUDIT_SHOWN = 8


async def box(call: Call) -> web.Response:
    """This box."""
    return await box_page(call)


async def box_page(call: Call, section: str = "", error: MinipaasError | None = None) -> web.Response:
    """The page; with the refusal of what was asked in one of its sections."""
    return await render(
        call,
        "box.html",
        status=200 if error is None else problems.status_of(error),
        live=error is None,
        host=call.control.telemetry.summary().host,
        trust=await trust_listing(call),
        certificates=await certificates_listing(call),
        shipping=(await shipping_listing(call)).destinations if call.caller.may(Access.READ) else (),
        tokens=(await token_listing(call)).tokens if call.caller.may(Access.ADMIN) else None,
        roles=tuple(role.value for role in Role),
        audit=await audit_rows(call, AUDIT_SHOWN) if call.caller.may(Access.READ) else None,
        section=section,
        problem=None if error is None else problems.problem(error).error,
    )

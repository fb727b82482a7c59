"""`/box`: facts, trust, and for those who may the audit."""

from __future__ import annotations

from aiohttp import web

from minipaas.registry.audit import ANY
from minipaas.surface.call import Call
from minipaas.surface.handlers.audit import rows as audit_rows
from minipaas.surface.handlers.trust import listing as trust_listing
from minipaas.surface.pages.shell import render

AUDIT_SHOWN = 30


async def box(call: Call) -> web.Response:
    """This box."""
    trust = await trust_listing(call)
    rows = await audit_rows(call, AUDIT_SHOWN, ANY) if call.caller.sees_logs else None
    return await render(call, "box.html", trust=trust, audit=rows)

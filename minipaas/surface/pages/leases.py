"""The button beside an open access to an instance, on the page of its app."""

from __future__ import annotations

import contextlib

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import Missing
from minipaas.surface.call import Call
from minipaas.surface.handlers import leases
from minipaas.surface.pages.shell import go


class EndAccess(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The button; which one is in the path."""


async def end(call: Call) -> web.StreamResponse:
    """Back to the app, without it; also when it was over already."""
    with contextlib.suppress(Missing):
        await leases.end(call)
    return go(call, f"/apps/{call.app}")

"""The button below the sentence that a new version of minipaas was gone back from."""

from __future__ import annotations

import contextlib

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import Missing
from minipaas.surface.call import Call
from minipaas.surface.handlers import own
from minipaas.surface.pages.shell import go


class Seen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The button."""


async def seen(call: Call) -> web.StreamResponse:
    """Back to the overview, without the sentence; also when somebody else has pressed it meanwhile."""
    with contextlib.suppress(Missing):
        await own.seen(call)
    return go(call, "/")

"""`/apps/{app}/events`: what happened to an app, the newest first, page by page."""

from __future__ import annotations

import re

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.registry.history import Place
from minipaas.surface.call import Call
from minipaas.surface.handlers.events import events_of
from minipaas.surface.pages.shell import render

SHOWN = 50


async def events(call: Call) -> web.Response:
    """`?before=` goes on where a page ended. Older ones do not change, so only the first page follows the news."""
    given = call.request.query.get("before", "")
    if given and not re.fullmatch(r"[0-9]{1,17}-[0-4]-[0-9]{1,15}", given):
        raise Missing(
            f"cannot show what happened before {given[:80]!r}: there is nothing of that name", code="api.path"
        )
    found = await events_of(call, call.app, SHOWN, Place.parse(given) if given else None)
    older = f"/apps/{call.app}/events?before={found.events[-1].id}" if found.more else ""
    return await render(
        call, "events.html", live=not given, name=call.app, events=found.events, older=older, first=not given
    )

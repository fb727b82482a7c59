"""`/apps/{app}/timeline`: an app's past on one axis, as a picture and as a list."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.metrics import Window
from minipaas.surface.call import Call
from minipaas.surface.handlers.timeline import UNTIL
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.shell import language_of, render
from minipaas.surface.pages.timeline_picture import link, picture
from minipaas.surface.timeline import SECONDS, axis

EARLIEST = 30 * 86_400
"""Nothing older has figures."""


async def timeline(call: Call) -> web.Response:
    """Shown anew while it ends now. What the address says wrongly counts as not said."""
    query, sees = call.request.query, call.caller.sees_logs
    window = Window(query["range"]) if query.get("range") in tuple(Window) else Window.DAY
    text = query.get("until", "")
    until = int(text) if text.isascii() and text.isdigit() and int(text) <= UNTIL.maximum else None
    found = await axis(call, call.app, window, until)
    span = SECONDS[window]
    later = found.end + span
    return await render(
        call,
        "timeline.html",
        live=until is None,
        every=60,
        name=call.app,
        axis=picture(found, catalogue(language_of(call.request)), sees=sees),
        marks=[(mark, link(found, mark, sees=sees)) for mark in reversed(found.marks)],
        earlier=found.end - span if found.start > found.now - EARLIEST else None,
        later=later if until is not None and found.end < found.now else None,
        ends_now=later >= found.now,
        sees=sees,
    )

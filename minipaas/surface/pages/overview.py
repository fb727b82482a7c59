"""`/`: whether the box is well, and every app, the most urgent first."""

from __future__ import annotations

from aiohttp import web

from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.handlers.changes import detail
from minipaas.surface.pages.shell import render


async def overview(call: Call) -> web.Response:
    """All at a glance."""
    seen = await views.survey(call)
    changes = [one.view.change for one in seen.apps if one.view.change and one.view.change.active]
    running = {change.app: await detail(call, change.id) for change in changes}
    return await render(call, "overview.html", seen=seen, running=running)

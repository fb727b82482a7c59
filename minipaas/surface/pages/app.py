"""`/apps/{app}`: all about one app."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.handlers.apps import releases_of
from minipaas.surface.handlers.changes import detail
from minipaas.surface.pages.shell import render
from minipaas.surface.wire import ChangeDetail

CHANGES_SHOWN = 15
RELEASES_SHOWN = 20


async def app(call: Call) -> web.Response:
    """Also of an app that was removed, and is remembered."""
    name = call.app
    recent = await call.registry.changes(name, CHANGES_SHOWN)
    changes = [await detail(call, change.id) for change in recent]
    told: views.Told | None
    try:
        told = await views.told_app(call, name)
    except Missing:
        if not changes:
            raise
        told = None
    releases = (await releases_of(call, name)).releases if told or changes else ()
    return await render(
        call, "app.html", name=name, told=told, changes=_active_first(changes), releases=releases[:RELEASES_SHOWN]
    )


def _active_first(changes: list[ChangeDetail]) -> list[ChangeDetail]:
    return sorted(changes, key=lambda one: not one.change.active)

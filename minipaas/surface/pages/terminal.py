"""`/apps/{app}/shell` and `/crashes/{crash}/shell`: a shell in the browser. This page asks for the reason and the
time; the shell itself is the API's WebSocket, with its access, its lease, its recording and its audit.

What always holds: opening this address opens no shell, only the button does.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import Missing
from minipaas.surface.call import Call
from minipaas.surface.handlers import crashes
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.shell import language_of, render

TIMES = (300.0, 900.0, 1800.0, 3600.0, 4 * 3600.0, 8 * 3600.0)
"""Seconds that are offered, as far as the box allows them."""


class Place(Struct, frozen=True):
    """An instance that can be entered."""

    service: str
    slot: int
    chosen: bool

    @property
    def name(self) -> str:
        """Of the choice in the form, `SERVICE/N`."""
        return f"{self.service}/{self.slot}"


async def terminal(call: Call) -> web.Response:
    """In an instance; `?service=` and `?slot=` say which is chosen beforehand."""
    query = call.request.query
    wanted = (query.get("service"), query.get("slot"))
    there = call.control.observed.of(call.app)
    if not there:
        raise Missing(
            f"cannot enter {call.app}: no instance of it runs", hint="see: minipaas status", code="access.no_instance"
        )
    running = sorted({(one.service, one.slot) for one in there if one.running})
    places = [Place(service, slot, (service, str(slot)) == wanted) for service, slot in running]
    return await _page(call, name=call.app, places=places, channel=f"/api/v1/apps/{call.app}/exec", crash=None)


async def scene(call: Call) -> web.Response:
    """In a container made from a kept scene."""
    capsule = (await crashes.one(call)).capsule
    channel = f"/api/v1/crashes/{capsule.id}/open"
    return await _page(call, name=capsule.app, places=[], channel=channel, crash=capsule)


async def _page(call: Call, **values: Any) -> web.Response:
    config = call.control.config.access
    usual = float(config.time)
    times = sorted({usual, *(time for time in TIMES if time <= config.longest)})
    words = catalogue(language_of(call.request)).below("terminal_said")
    return await render(
        call,
        "terminal.html",
        live=False,
        times=times,
        usual=usual,
        recorded=config.record,
        said=json.dumps(words, ensure_ascii=False),
        **values,
    )

"""`/apps/{app}/output`: the last lines that the instances of a service wrote."""

from __future__ import annotations

import re

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.model.spec import NAME
from minipaas.surface.call import Call
from minipaas.surface.pages.shell import render

LINES = 60
"""Of each instance."""


async def output(call: Call) -> web.Response:
    """Of one service, or of all; the newest instance first."""
    service = call.request.query.get("service") or None
    if service is not None and not re.fullmatch(NAME, service):
        raise Missing(f"cannot read logs: {service[:80]!r} is no service", code="service.missing")
    by_instance: dict[str, list[str]] = {}
    for line in await call.control.log_tail(call.app, service, LINES):
        by_instance.setdefault(line.instance, []).append(line.text)
    return await render(
        call, "output.html", live=False, name=call.app, service=service, written=dict(reversed(by_instance.items()))
    )

"""`/apps/{app}/logs`: what an app wrote, asked for by text, service, instance, release, stream, level and time; in
pages, and live where there is a script."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from minipaas.model.errors import MinipaasError
from minipaas.model.logs import Found, Level, Stream
from minipaas.surface import problems
from minipaas.surface.call import Call
from minipaas.surface.handlers.logs import BEFORE, FILTER, logs_view, require_app, wanted_by
from minipaas.surface.pages.shell import render

SHOWN = 200
SPANS = {"15m": 900, "1h": 3600, "24h": 86400, "7d": 7 * 86400}
"""How far back can be chosen."""
ASKED = (*FILTER, BEFORE)


async def logs(call: Call) -> web.Response:
    """A page of it, the last line at the end. An empty field of the form asks for nothing."""
    require_app(call)
    given = {name: value for name, value in call.request.query.items() if value}
    error: MinipaasError | None = None
    found = Found()
    try:
        found = await call.control.logs.newest(call.app, await wanted_by(call, _query(given)), SHOWN)
    except MinipaasError as wrong:
        error = wrong
    shown = await logs_view(call, found)
    url = call.request.rel_url
    instances = call.control.observed.of(call.app)
    return await render(
        call,
        "logs.html",
        status=200 if error is None else problems.status_of(error),
        live=False,
        name=call.app,
        lines=shown.lines,
        given=given,
        services=sorted({one.service for one in instances} | {line.service for line in shown.lines}),
        levels=[level.value for level in Level],
        streams=[stream.value for stream in Stream],
        spans=tuple(SPANS),
        older=str(url.update_query(before=shown.lines[0].id)) if shown.more and shown.lines else None,
        newest=str(url.without_query_params("before")) if "before" in given else None,
        ends=json.dumps(found.ends) if error is None and "before" not in given and "until" not in given else None,
        problem=None if error is None else problems.problem(error).error,
    )


def _query(given: Mapping[str, str]) -> dict[str, Any]:
    """Raises Invalid."""
    wanted: dict[str, Any] = dict.fromkeys(query.name for query in ASKED)
    wanted |= {query.name: query.parse(given[query.name]) for query in ASKED if query.name in given}
    if given.get("span") in SPANS and wanted["since"] is None:
        wanted["since"] = str(int(time.time()) - SPANS[given["span"]])
    return wanted

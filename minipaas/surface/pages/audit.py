"""`/audit`: who did what, asked for by whom, what, about which app, when and with what result; in pages."""

from __future__ import annotations

import time

from aiohttp import web

from minipaas.model.errors import Invalid
from minipaas.surface import problems
from minipaas.surface.call import Call
from minipaas.surface.handlers.audit import DONE, FILTER, REFUSED, rows, wanted_by
from minipaas.surface.pages.shell import render

SHOWN = 50
SPANS = {"1h": 3600, "24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400}
"""How far back can be chosen."""


async def audit(call: Call) -> web.Response:
    """A page of it. An empty field of the form asks for nothing."""
    given = {name: value for name, value in call.request.query.items() if value}
    wanted = dict.fromkeys((query.name for query in FILTER), None)
    error: Invalid | None = None
    try:
        wanted |= {query.name: query.parse(given[query.name]) for query in FILTER if query.name in given}
    except Invalid as wrong:
        error = wrong
    if given.get("span") in SPANS:
        wanted["since"] = int(time.time()) - SPANS[given["span"]]
    shown = await rows(call, SHOWN + 1, wanted_by(wanted)) if error is None else None
    found = shown.rows[:SHOWN] if shown else ()
    more = shown is not None and len(shown.rows) > SHOWN
    url = call.request.rel_url
    return await render(
        call,
        "audit.html",
        status=200 if error is None else problems.status_of(error),
        live=False,
        rows=found,
        given=given,
        actions=await call.registry.audit_actions(),
        apps=[app.app for app in (await call.registry.desired()).apps],
        results=(DONE, REFUSED),
        spans=tuple(SPANS),
        older=str(url.update_query(before=found[-1].id)) if more else None,
        newest=str(url.without_query_params("before")) if "before" in given else None,
        problem=None if error is None else problems.problem(error).error,
    )

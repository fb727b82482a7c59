"""`/apps/{app}/accesses`: who is and was in the instances of an app, page by page; `…/accesses/{lease}`: one of them,
with what its session showed.

What always holds: what a session showed comes from the API's own address, with the access that it asks for.
"""

from __future__ import annotations

import json
import re

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.model.lease import Entry
from minipaas.surface.call import PATH_PATTERNS, Call
from minipaas.surface.handlers.leases import leases_of
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.shell import language_of, render

SHOWN = 30


async def accesses(call: Call) -> web.Response:
    """`?before=` goes on where a page ended; only the first page follows the news."""
    given = call.request.query.get("before") or None
    if given is not None and not re.fullmatch(PATH_PATTERNS["lease"], given):
        raise Missing(f"cannot show accesses before {given[:80]!r}: there is none of that name", code="api.path")
    found = await leases_of(call, call.app, SHOWN + 1, given)
    older = f"/apps/{call.app}/accesses?before={found[SHOWN - 1].id}" if len(found) > SHOWN else ""
    return await render(
        call,
        "accesses.html",
        live=given is None,
        name=call.app,
        leases=found[:SHOWN],
        older=older,
        first=given is None,
    )


async def one(call: Call) -> web.Response:
    """Open or over."""
    access, number = call.control.access, call.request.match_info["lease"]
    held = access.leases.get(number)
    lease = held.lease if held is not None else await access.kept.get(number)
    if lease is None or lease.app != call.app:
        raise Missing(
            f"cannot show access {number}: {call.app} has none of that name, or not any more",
            hint=f"minipaas access list {call.app}",
            code="access.unknown",
        )
    return await render(
        call,
        "access.html",
        live=False,
        name=call.app,
        lease=lease,
        lines=lease.kind is Entry.EXEC,
        said=json.dumps(catalogue(language_of(call.request)).below("recording_said"), ensure_ascii=False),
    )

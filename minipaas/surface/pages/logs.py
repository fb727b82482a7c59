"""`/apps/{app}/logs`: what an app wrote, asked for by text, service, instance, release, stream, level and time; in
pages, and live where there is a script.

What always holds: the form's fields are the API's parameters, so an address says all that was asked for. `since` and
`until` may also be as a browser's field for a date and time has them; that is read as UTC, as times are shown where
there is no script, and a script sends Unix seconds.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from yarl import URL

from minipaas.model.errors import MinipaasError
from minipaas.model.logs import Found, Level, Stream
from minipaas.surface import problems
from minipaas.surface.call import PATH_PATTERNS, Call, Query
from minipaas.surface.handlers.logs import BEFORE, FILTER, logs_view, require_app, wanted_by
from minipaas.surface.pages.shell import go, render

SHOWN = 200
SPANS = {"15m": 900, "1h": 3600, "24h": 86400, "7d": 7 * 86400}
"""How far back can be chosen."""
ASKED = (*FILTER, BEFORE)
APP = Query(name="app", summary="The log of this app.", pattern=PATH_PATTERNS["app"])
OF_ONE_APP = (APP.name, "service", "instance", "release", "before")
"""What means nothing in the log of another app."""
TIMES = ("since", "until")
_FIELD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
"""A date and time as browsers send them (HTML, "local date and time string")."""


async def logs(call: Call) -> web.Response:
    """A page of it, the last line at the end. An empty field of the form asks for nothing; another app leads there."""
    given = {name: value for name, value in call.request.query.items() if value}
    app = APP.parse(given.get(APP.name, call.app))
    if app != call.app:
        kept = {name: value for name, value in given.items() if name not in OF_ONE_APP}
        return go(call, str(URL.build(path=f"/apps/{app}/logs", query=kept)))
    given.pop(APP.name, None)
    if "instance" in given:
        given["instance"] = given["instance"].removeprefix("minipaas-")  # Podman's name of it
    require_app(call)
    error: MinipaasError | None = None
    found = Found()
    try:
        found = await call.control.logs.newest(call.app, await wanted_by(call, _query(given)), SHOWN)
    except MinipaasError as wrong:
        error = wrong
    shown = await logs_view(call, found)
    url = call.request.rel_url
    sources = await call.control.logs.sources(call.app)
    observed = call.control.observed.of(call.app)
    names = {*(one.name for one in observed), *(one.instance for one in sources), given.get("instance", "")} - {""}
    return await render(
        call,
        "logs.html",
        status=200 if error is None else problems.status_of(error),
        live=False,
        name=call.app,
        lines=shown.lines,
        given=given,
        apps=sorted({call.app} | {one.app for one in (await call.registry.desired()).apps}),
        services=sorted({one.service for one in observed} | {one.service for one in sources}),
        instances=sorted({name.removeprefix("minipaas-") for name in names}, key=_by_number),
        levels=[level.value for level in Level],
        streams=[stream.value for stream in Stream],
        spans=tuple(SPANS),
        older=str(url.update_query(before=shown.lines[0].id)) if shown.more and shown.lines else None,
        newest=str(url.without_query_params("before")) if "before" in given else None,
        ends=json.dumps(found.ends) if error is None and "before" not in given and "until" not in given else None,
        times={name: _field(given[name]) for name in TIMES if name in given},
        problem=None if error is None else problems.problem(error).error,
    )


def _query(given: Mapping[str, str]) -> dict[str, Any]:
    """Raises Invalid."""
    wanted: dict[str, Any] = dict.fromkeys(query.name for query in ASKED)
    told = dict(given) | {name: _seconds(given[name]) for name in TIMES if name in given}
    wanted |= {query.name: query.parse(told[query.name]) for query in ASKED if query.name in told}
    if given.get("span") in SPANS and wanted["since"] is None:
        wanted["since"] = str(int(time.time()) - SPANS[given["span"]])
    return wanted


def _seconds(text: str) -> str:
    """Unix seconds, also of a field's date and time; what is neither stays as it is, and is refused later."""
    if not _FIELD.fullmatch(text):
        return text
    try:
        return f"{datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp():.3f}"
    except ValueError:  # 30 February
        return text


def _field(text: str) -> str:
    """For such a field; empty: it is no time."""
    try:
        return datetime.fromtimestamp(int(float(_seconds(text))), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


def _by_number(name: str) -> list[tuple[int, str]]:
    """So that web-10 comes after web-9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.split("-")]

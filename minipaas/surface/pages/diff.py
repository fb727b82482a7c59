"""`/apps/{app}/releases/{release}/diff`: what changed between two releases: images, app.toml, packages."""

from __future__ import annotations

import re

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.surface.call import PATH_PATTERNS, Call
from minipaas.surface.handlers.diffs import diff_of
from minipaas.surface.pages.shell import render


async def diff(call: Call) -> web.Response:
    """Against `?from=`, else against what serves, or came before it."""
    base = call.request.query.get("from") or None
    if base is not None and not re.fullmatch(PATH_PATTERNS["release"], base):
        raise Missing(f"cannot compare with {base[:80]!r}: there is no such release", code="release.missing")
    found = await diff_of(call, call.app, call.request.match_info["release"], base)
    return await render(call, "diff.html", live=False, name=call.app, diff=found)

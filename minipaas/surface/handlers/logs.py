"""Lines that apps wrote: the last ones, those of a time, and those with a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from minipaas.model.errors import Invalid, Missing
from minipaas.model.logs import Found, Level, Line, Stream, Wanted
from minipaas.surface.call import PATH_PATTERNS, Call, Query
from minipaas.surface.wire import LogLine, Logs
from minipaas.telemetry.logs.level import level_of

SECOND = 1_000_000_000
NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
_TIME = r"[0-9]{1,11}(\.[0-9]{1,9})?"
_ID = r"[0-9]{1,19}-[0-9a-z]{1,12}-[0-9]{1,18}"
FILTER = (
    Query(name="service", summary="Only this service.", pattern=NAME),
    Query(name="instance", summary="Only this instance, by its name.", pattern=PATH_PATTERNS["name"]),
    Query(name="release", summary="Only this release: its version or digest.", pattern=PATH_PATTERNS["release"]),
    Query(name="stream", summary="Only what was written there.", pattern="|".join(Stream)),
    Query(name="level", summary="At least so bad; only lines that say so (JSON, logfmt).", pattern="|".join(Level)),
    Query(
        name="text",
        summary="Only lines with this text, in any case, from the beginning of a word on; after a leading `*` also "
        "within words, which takes longer.",
        pattern=r"[^\x00-\x1f\x7f]{1,200}",
    ),
    Query(name="since", summary="Not earlier than this, Unix seconds.", pattern=_TIME),
    Query(name="until", summary="Earlier than this, Unix seconds.", pattern=_TIME),
)
BEFORE = Query(name="before", summary="Only lines before this id.", pattern=_ID)


async def newest(call: Call) -> Logs:
    """The last lines; also of instances that are gone, as long as they are kept."""
    require_app(call)
    found = await call.control.logs.newest(call.app, await wanted_by(call, call.query), call.query["tail"])
    return await logs_view(call, found)


def require_app(call: Call) -> None:
    """Raise Missing when nothing can be known of what such an app wrote."""
    if not call.control.observed.of(call.app) and not call.control.logs.known(call.app):
        raise Missing(
            f"cannot read logs: there is no instance of {call.app}",
            hint="see: minipaas status",
            code="logs.app",
        )


async def wanted_by(call: Call, query: Mapping[str, Any]) -> Wanted:
    """What the parameters of `FILTER` (and `BEFORE`) ask for. Raises Missing for a release that is not known,
    Invalid (`logs.times`)."""
    before = re.fullmatch(r"(\d+)-(\w+)-(\d+)", query.get("before") or "")
    releases = None
    if query["release"] is not None:
        named = await call.registry.named(call.app, query["release"])
        releases = frozenset({named.release.digest})
    since, until = _nanoseconds(query["since"]) or 0, _nanoseconds(query["until"])
    if until is not None and until <= since:
        raise Invalid(
            "cannot read logs: the end is not after the beginning", hint="swap the two times", code="logs.times"
        )
    return Wanted(
        text=query["text"] or "",
        service=query["service"],
        instance=query["instance"],
        stream=Stream(query["stream"]) if query["stream"] else None,
        level=Level(query["level"]) if query["level"] else None,
        releases=releases,
        since=since,
        until=until,
        before=(int(before[1]), before[2], int(before[3])) if before is not None else None,
    )


async def logs_view(call: Call, found: Found) -> Logs:
    """Lines as they cross the wire."""
    versions = {one: await call.context.version(one) for one in {line.source.release for line in found.lines} if one}
    return Logs(lines=tuple(_view(line, versions.get(line.source.release)) for line in found.lines), more=found.more)


def _view(line: Line, version: str | None) -> LogLine:
    level = level_of(line.text)
    return LogLine(
        instance=line.source.instance,
        text=line.text.rstrip(b"\r").decode(errors="backslashreplace"),
        id="-".join(map(str, line.order)),
        time=line.time / SECOND,
        service=line.source.service,
        stream=line.stream.value,
        level=level.value if level is not None else None,
        release=line.source.release,
        version=version,
    )


def _nanoseconds(text: str | None) -> int | None:
    if text is None:
        return None
    seconds, _, fraction = text.partition(".")
    return int(seconds) * SECOND + int(fraction.ljust(9, "0"))

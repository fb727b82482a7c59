"""A Compose health check as one of `app.toml`. Compose's defaults are written out, because they are not ours."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from minipaas.author import compose_values as values
from minipaas.author.apptoml import Value
from minipaas.model.units import Duration

_CURL = re.compile(r"(?:curl|wget)\b.*?\bhttp://(?:localhost|127\.0\.0\.1)(?::(\d+))?(/[^\s'\"|;&)]*)?")
_SHORTEST = 0.1


class HealthImport(Struct, frozen=True, kw_only=True):
    """What became of a check."""

    health: dict[str, Value] | None = None
    """The `health` table."""
    instead: dict[str, Value] | None = None
    """The same question asked over HTTP, without a process in the container; a suggestion."""
    notes: tuple[str, ...] = ()


def import_health(check: dict[str, Any], port: int | None) -> HealthImport:
    """`healthcheck` of a service whose main port is `port`. Raises ValueError."""
    test = check.get("test")
    words = values.texts(test) if isinstance(test, list) else ["CMD-SHELL", values.text(test)] if test else []
    if check.get("disable") or words[:1] == ["NONE"]:
        return HealthImport()
    notes = []
    if "start_interval" in check:
        notes.append("healthcheck.start_interval: not carried over; interval counts from the start")
    if not words:
        notes.append("healthcheck: without a test it changes the image's own check, which minipaas does not run")
        return HealthImport(notes=tuple(notes))
    kind, *rest = words
    timing = _timing(check)
    found = _CURL.search(" ".join(rest))
    http = found is not None and port is not None and int(found[1] or 80) == port
    return HealthImport(
        health={"command": rest if kind == "CMD" else ["/bin/sh", "-c", " ".join(rest)], **timing},
        instead={"http": found[2] or "/", **timing} if found is not None and http else None,
        notes=tuple(notes),
    )


def _timing(check: dict[str, Any]) -> dict[str, Value]:
    interval = max(values.duration(check.get("interval", "30s")), Duration(_SHORTEST))
    timeout = values.duration(check.get("timeout", "30s")) or Duration(30)
    return {
        "interval": str(interval),
        "timeout": str(timeout),
        "grace": str(values.duration(check.get("start_period", 0)) or "0s"),
        "retries": min(max(int(check.get("retries", 3)), 1), 100),
    }

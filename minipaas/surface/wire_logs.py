"""What goes over the WebSocket that follows logs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from minipaas.surface.wire import LogLine

_Key = Annotated[str, Meta(max_length=64)]
_Place = Annotated[int, Meta(ge=0, le=1 << 62)]


class FollowLogs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message: from where on. A reader that comes back sends the `ends` of the last message that it got, and
    the `since` that it began with: then it misses nothing and gets nothing twice."""

    tail: Annotated[int, Meta(ge=0, le=2000)] = 0
    """Begin with so many lines that are there already. Only without `ends`."""
    since: Annotated[float, Meta(ge=0, le=1e11)] | None = None
    """Unix seconds; of containers that `ends` does not name nothing earlier is wanted."""
    ends: Annotated[dict[_Key, _Place], Meta(max_length=10_000)] | None = None


class LogLines(Struct, frozen=True, kw_only=True, tag="lines", tag_field="type"):
    """Lines, as they come; those of one container in order."""

    lines: tuple[LogLine, ...]
    ends: dict[str, int]
    """Up to where the log of each container was looked at."""
    since: float
    """By the box's clock, when this reader began."""

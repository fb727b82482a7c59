"""`logs -f`: lines as they come, without a gap or a double when the box restarts or the line breaks off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from minipaas.model.errors import Unreachable
from minipaas.surface.channel import Channel
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import LogLine
from minipaas.surface.wire_logs import FollowLogs, LogLines

PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each try to come back."""


def follow(box: Box, app: str, query: dict[str, Any], tail: int, show: Callable[[LogLine], None]) -> None:
    """Show lines until interrupted. Raises Unreachable when the box stays away for `limits.patience` seconds, and what
    the box says it cannot."""
    named = {key: value for key, value in query.items() if value is not None}
    path = f"/apps/{segment(app)}/logs/live" + (f"?{urlencode(named)}" if named else "")
    asyncio.run(_follow(box, path, FollowLogs(tail=tail), show))


async def _follow(box: Box, path: str, begin: FollowLogs, show: Callable[[LogLine], None]) -> None:
    heard, tries = time.monotonic(), 0
    while True:
        try:
            async with Channel.open(box, path) as channel:
                await channel.send(begin)
                while True:
                    told = await channel.hear(LogLines)
                    heard, tries = time.monotonic(), 0
                    for line in told.lines:
                        show(line)
                    begin = FollowLogs(since=told.since, ends=told.ends)
        except Unreachable:
            # Before the first message nothing is known of this box: it may be the wrong one.
            if begin.ends is None or time.monotonic() - heard > box.limits.patience + box.limits.silence:
                raise
        await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
        tries += 1

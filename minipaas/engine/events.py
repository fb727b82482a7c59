"""Podman's event stream: one connection, reopened with back-off. An event only says "look again".

After every reconnect everything is looked at again, because what happened in between is not told. Events that
minipaas's own probes and looks cause (exec, images listed) are no news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.session import Params
from minipaas.engine.shapes import Event
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError

log = logging.getLogger(__name__)

_NEWS = {
    "container": frozenset(
        {
            "create",
            "init",
            "start",
            "died",
            "die",
            "oom",
            "stop",
            "kill",
            "remove",
            "pause",
            "unpause",
            "restart",
            "cleanup",
        }
    ),
    "image": frozenset({"remove", "untag", "prune", "pull", "load", "import"}),
    "volume": frozenset({"create", "remove", "prune"}),
    "network": frozenset({"create", "remove", "prune"}),
}


def is_news(line: bytes, box: str) -> bool:
    """Whether this event may change what this box has to do. Containers count only with this box's label."""
    try:
        event = msgspec.json.decode(line, type=Event)
    except msgspec.MsgspecError:
        return True  # rather one look too many
    if event.action not in _NEWS.get(event.kind, frozenset()):
        return False
    return event.kind != "container" or (event.actor.attributes or {}).get(labels.BOX) == box


class EventStream:
    """Calls `on_news` for events of this box, for ever."""

    def __init__(self, streams: Streams, box: str, on_news: Callable[[], None]) -> None:
        self._streams = streams
        self._box = box
        self._on_news = on_news

    async def run(self) -> None:
        """Never returns; cancel it."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            opened = loop.time()
            try:
                await self._follow()
            except EngineError as error:
                log.log(logging.WARNING if failures == 0 else logging.DEBUG, "event stream: %s", error)
            failures = 0 if loop.time() - opened > limits.EVENT_CALM else failures + 1
            await asyncio.sleep(limits.EVENT_BACKOFF[min(failures, len(limits.EVENT_BACKOFF) - 1)])

    async def _follow(self) -> None:
        filters = msgspec.json.encode({"type": sorted(_NEWS)}).decode()
        params: Params = {"stream": True, "filters": filters}
        self._on_news()
        # Podman sends the header with the first event only, so nobody can tell when the stream is open. What happens
        # in between is seen by a second look; asking for events `since` a time would trust a clock that may jump.
        again = asyncio.get_running_loop().call_later(limits.EVENT_OPENS, self._on_news)
        try:
            lines = self._streams.lines("follow events", "events", params=params, silence=limits.EVENT_SILENCE)
            async for line in lines:
                if line.strip() and is_news(line, self._box):
                    self._on_news()
        finally:
            again.cancel()

"""Following: every container of this box is known to the logs by the path of its file, from the first look on until it
is gone; and before one is removed, its file is open.

What always holds: it only looks; whatever goes wrong is logged once and ends nothing, and holds up no removal for
longer than `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineError
from minipaas.model.logs import Source
from minipaas.model.observed import Hook, Instance, Observed
from minipaas.telemetry.logs.logs import Logs

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between two comparisons with the last look."""
RETRY = 5.0
"""After Podman did not say where a log is."""
PATIENCE = 5.0
"""A removal waits at most so long for the log to be opened."""
PREFIX = "minipaas-"


class Following:
    """Feeds the logs. `observed`: the last look at the world."""

    def __init__(self, engine: Engine, logs: Logs, observed: Callable[[], Observed]) -> None:
        self._engine = engine
        self._logs = logs
        self._observed = observed
        self._known: dict[str, tuple[Source, str]] = {}
        self._told = ""
        engine.before_removal = self.hold

    async def run(self) -> None:
        """Compare until cancelled; the logs themselves run beside it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._logs.run(), name="logs")
            seen: Observed | None = None
            while True:
                observed = self._observed()
                whole = True
                if observed is not seen:
                    whole = await self.look(observed)
                    seen = observed if whole else None
                await asyncio.sleep(LOOK if whole else RETRY)

    async def look(self, observed: Observed) -> bool:
        """Tell the logs who is there now. False: somebody's log could not be found yet."""
        present = {one.id: _source(one) for one in _containers(observed)}
        whole = True
        for container, source in present.items():
            if container not in self._known:
                whole = await self._find(source) and whole
        self._known = {key: one for key, one in self._known.items() if key in present}
        self._logs.follow(self._known)
        return whole

    async def hold(self, container: str) -> None:
        """Open the log of a container that is about to be removed, unless it is open."""
        observed = self._observed()
        one = next((one for one in _containers(observed) if one.id == container), None)
        if one is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                if container in self._known or await self._find(_source(one)):
                    await self._logs.hold(*self._known[container])
        except (TimeoutError, KeyError):
            log.warning("the last lines of %s may be lost: its log could not be opened in time", one.name)

    async def last(self, container: str, most: int) -> list[str] | None:
        """The last lines of a container that has ended; None: its log could not be opened in time. Raises
        MinipaasError."""
        await self.hold(container)
        lines = await self._logs.last(container, most)
        return None if lines is None else [line.text.decode(errors="replace") for line in lines]

    async def _find(self, source: Source) -> bool:
        """Where its log is. True also for one that has gone meanwhile."""
        try:
            path = await self._engine.log_path(source.container)
        except EngineError as error:
            if error.code == "engine.missing":
                return True
            if self._told != error.message:
                self._told = error.message
                log.warning("cannot follow the log of %s: %s", source.instance, error.message)
            return False
        if path is not None:
            self._known[source.container] = (source, path)
        return True


def _containers(observed: Observed) -> list[Instance | Hook]:
    return [*observed.instances, *observed.hooks]


def _source(one: Instance | Hook) -> Source:
    release = one.release if isinstance(one, Instance) else ""
    return Source(
        container=one.id,
        app=one.app,
        service=one.service,
        instance=one.name.removeprefix(PREFIX),
        release=release,
    )

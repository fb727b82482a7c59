"""Sampling: every ten seconds, what containers have used, what the ingress has counted and how the machine is doing.

What always holds: it only looks; whatever goes wrong costs one sample, is logged once, and ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineError
from minipaas.model.observed import Observed
from minipaas.model.usage import Usage
from minipaas.telemetry.host import HostReading
from minipaas.telemetry.limits import SAMPLE
from minipaas.telemetry.meter import Place
from minipaas.telemetry.telemetry import Telemetry

log = logging.getLogger(__name__)


class Sampler:
    """Feeds telemetry. `observed`: the last look at the world."""

    def __init__(self, engine: Engine, telemetry: Telemetry, observed: Callable[[], Observed]) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self._observed = observed
        self._told = ""

    async def run(self) -> None:
        """Sample until cancelled, just after each multiple of the interval, so that every step has one sample."""
        await self._safely(self._telemetry.load)
        while True:
            await self._safely(self.sample)
            await asyncio.sleep(SAMPLE - time.time() % SAMPLE + 0.05)

    async def sample(self) -> None:
        """One sample."""
        usage = await self._usage()
        host = await asyncio.to_thread(self._host)
        instances = self._observed().instances
        places = {one.id: Place(one.app, one.service, one.slot, one.started) for one in instances}
        await self._telemetry.take(usage, places, [one.id for one in instances if one.oom_killed], host)

    async def _usage(self) -> dict[str, Usage]:
        try:
            return await self._engine.usage()
        except EngineError as error:
            self._tell(error)
            return {}

    def _host(self) -> HostReading | None:
        try:
            return self._telemetry.host.read()
        except Exception as error:  # /proc that is not as psutil expects it
            self._tell(error)
            return None

    async def _safely(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
            self._told = ""
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._told:
            self._told = said
            log.warning("cannot measure: %s", said, exc_info=None if isinstance(error, EngineError) else error)

"""Sampling: every ten seconds, what containers have used, what the ingress has counted and how the machine is doing.

What always holds: it only looks; whatever goes wrong costs one sample, is logged once, and ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineError
from minipaas.model.observed import Observed
from minipaas.telemetry.limits import SAMPLE
from minipaas.telemetry.meter import Place
from minipaas.telemetry.telemetry import Telemetry

log = logging.getLogger(__name__)

T = TypeVar("T")


class Sampler:
    """Feeds telemetry. `observed`: the last look at the world."""

    def __init__(self, engine: Engine, telemetry: Telemetry, observed: Callable[[], Observed]) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self._observed = observed
        self._told: dict[str, str] = {}
        """What has been logged last, by what was tried."""

    async def run(self) -> None:
        """Sample until cancelled, just after each multiple of the interval, so that every step has one sample."""
        await self._safely("read what was kept", self._telemetry.load())
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE - time.time() % SAMPLE + 0.05)

    async def sample(self) -> None:
        """One sample. Never fails."""
        usage = await self._safely("read what containers use", self._engine.usage())
        host = await self._safely("read how the machine is", asyncio.to_thread(self._telemetry.host.read))
        instances = self._observed().instances
        places = {one.id: Place(one.app, one.service, one.slot, one.started) for one in instances}
        killed = [one.id for one in instances if one.oom_killed]
        await self._safely("keep a sample", self._telemetry.take(usage or {}, places, killed, host))

    async def _safely(self, what: str, work: Awaitable[T]) -> T | None:
        """Its result; None when it failed, which is told once until it goes well again."""
        try:
            result = await work
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if self._told.get(what) != said:
                self._told[what] = said
                known = isinstance(error, EngineError)
                log.warning("cannot %s: %s", what, error, exc_info=None if known else error)
            return None
        self._told.pop(what, None)
        return result

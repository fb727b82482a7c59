"""The heart: look, plan, act; again whenever anything may have changed.

Level-triggered: Podman's events, timers, health changes and API calls only say "look again". The journal is a record,
not a queue: after a crash the box observes and plans anew, and never resumes old steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from minipaas.control.execute import Executor
from minipaas.control.lanes import Lanes
from minipaas.engine.engine import Engine
from minipaas.ingress.ingress import Ingress
from minipaas.model.change import Desired
from minipaas.model.errors import MinipaasError
from minipaas.model.observed import HealthState, Instance, Observed
from minipaas.model.spec import Health, effective_health
from minipaas.model.steps import SetRoutes
from minipaas.plan.launches import fingerprints
from minipaas.plan.planner import plan
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)

QUIET = 30.0
"""Seconds after which the box looks again although nobody said so."""
GATHER = 0.01
"""News come in swarms; wait this long so that one look serves them all."""
MAX_RETRY = 10.0


class Reconciler:
    """Keeps the box as desired. `observed` is the last look, `trouble` why looking fails at the moment."""

    def __init__(self, registry: Registry, engine: Engine, ingress: Ingress, executor: Executor) -> None:
        self._registry = registry
        self._engine = engine
        self._ingress = ingress
        self._executor = executor
        self._news = asyncio.Event()
        self._prints: dict[str, dict[str, str]] = {}
        self.observed = Observed(boot=engine.info.boot)
        self.trouble = ""
        self.ready = asyncio.Event()
        """Set once every running instance has been probed and the routes lead to those that are well."""

    def wake(self) -> None:
        """Something may have changed: look again."""
        self._news.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        retry = 0.0
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(self._registry, self._executor, group, self.wake)
            while True:
                self._news.clear()
                try:
                    pause = await self.round(lanes)
                    self.trouble, retry = "", 0.0
                except MinipaasError as error:
                    retry = min(MAX_RETRY, max(0.5, retry * 2))
                    pause, self.trouble = retry, error.message
                    log.warning("cannot reconcile: %s", error.message)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                await asyncio.sleep(GATHER)

    async def round(self, lanes: Lanes) -> float:
        """One round. Returns the seconds until the next look is due at the latest."""
        desired = await self._registry.desired()
        self.observed = await self.look(desired)
        now = time.time()
        plans = plan(desired, self.observed, now)
        routed = not any(isinstance(step, SetRoutes) for one in plans for step in one.steps)
        if routed and all(_probed(one) for one in self.observed.instances if one.running):
            self.ready.set()
        rest = lanes.run(plans)
        waits = [max(0.0, one.look_at - now) for one in plans if one.look_at is not None]
        return min([QUIET, *waits, *([rest] if rest is not None else [])])

    async def look(self, desired: Desired) -> Observed:
        """Everything that is there now, and whose health is to be watched."""
        sighting = await self._engine.observe()
        watched = self._checks(desired)
        self._engine.watch(
            {
                one.id: watched[one.app, one.service, one.fingerprint]
                for one in sighting.instances
                if (one.app, one.service, one.fingerprint) in watched
            }
        )
        self._executor.proven &= {one.id for one in sighting.instances if one.running}
        return Observed(
            boot=self._engine.info.boot,
            instances=sighting.instances,
            hooks=sighting.hooks,
            networks=sighting.networks,
            volumes=sighting.volumes,
            images=sighting.images,
            routes=self._ingress.routes(),
            proven=frozenset(self._executor.proven),
            notes=await self._registry.notes(),
        )

    def _checks(self, desired: Desired) -> dict[tuple[str, str, str], Health | None]:
        """How to ask each kind of instance for its health; the newest release that has the kind says it."""
        checks: dict[tuple[str, str, str], Health | None] = {}
        seen: dict[str, dict[str, str]] = {}
        for app in desired.apps:
            for release in (app.target, app.serving, app.good):
                if release is None:
                    continue
                prints = self._prints.get(release.digest) or fingerprints(release)
                seen[release.digest] = prints
                for service, fingerprint in prints.items():
                    check = effective_health(release.spec.services[service])
                    checks.setdefault((release.app, service, fingerprint), check)
        self._prints = seen
        return checks


def _probed(instance: Instance) -> bool:
    """Whether something is known of its health."""
    if instance.health is HealthState.STARTING:
        return bool(instance.health_detail)
    return instance.health is not HealthState.UNKNOWN

"""The heart: look, plan, act; again whenever anything may have changed.

Level-triggered: Podman's events, timers, health changes and API calls only say "look again". The journal is a record,
not a queue: after a crash the box observes and plans anew, and never resumes old steps.

What always holds: looking takes at most two thirds of the time; an app whose plan cannot be made holds up no other;
nothing that goes wrong in a round ends the box, and the same trouble is told once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping

from minipaas.control.deaths import Deaths
from minipaas.control.execute import Executor
from minipaas.control.lanes import Lanes
from minipaas.control.patience import Patience
from minipaas.control.scenes import Scenes
from minipaas.engine.engine import Engine
from minipaas.ingress.ingress import Ingress
from minipaas.model.change import Desired
from minipaas.model.errors import MinipaasError
from minipaas.model.observed import HealthState, Instance, Observed
from minipaas.model.release import Release
from minipaas.model.spec import Health, effective_health
from minipaas.model.steps import SetRoutes
from minipaas.plan.launches import fingerprints
from minipaas.plan.planner import AppPlan, plan_app, plan_strays
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)

QUIET = 30.0
"""Seconds after which the box looks again although nobody said so."""
SOON = 0.05
"""The shortest pause that a plan or a rest may ask for."""
GATHER = 0.01
"""News come in swarms; wait this long so that one look serves them all."""
MAX_GATHER = 1.0
MAX_RETRY = 10.0
Kind = tuple[str, str, str]
"""App, service, fingerprint."""
Looked = Callable[[Desired, Observed], None]


class Reconciler:
    """Keeps the box as desired. `observed` is the last look, `trouble` why looking fails at the moment."""

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        ingress: Ingress,
        executor: Executor,
        scenes: Scenes,
        on_look: Looked | None = None,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._ingress = ingress
        self._executor = executor
        self._on_look = on_look
        self._news = asyncio.Event()
        self._done = asyncio.Event()
        """Something of our own has been done."""
        self._patience = Patience()
        self._deaths = Deaths(registry, scenes)
        self._checks: tuple[Desired | None, dict[Kind, Health | None]] = (None, {})
        self._started: dict[str, float | None] = {}
        """By container id, when those that run were started."""
        self._told: dict[str, str] = {}
        """Bugs that have been logged, by where they were met."""
        self.observed = Observed(boot=engine.info.boot)
        self.trouble = ""
        self.ready = asyncio.Event()
        """Set once every running instance has been probed and the routes lead to those that are well."""

    def wake(self) -> None:
        """Something may have changed: look again."""
        self._news.set()

    def _wake_at_once(self) -> None:
        """What was to be done has been done, and somebody may wait for what follows."""
        self._done.set()
        self.wake()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        retry = 0.0
        hurried = False
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(self._registry, self._executor, group, self._wake_at_once)
            while True:
                self._news.clear()
                self._done.clear()
                begun = time.monotonic()
                try:
                    pause = await self.round(lanes)
                    self._recovered()
                    retry = 0.0
                except Exception as error:
                    retry = min(MAX_RETRY, max(0.5, retry * 2))
                    pause = retry
                    self._in_trouble(error)
                took = time.monotonic() - begun
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                hurried = await self._gather(min(MAX_GATHER, took), may_hurry=not hurried)

    async def _gather(self, seconds: float, *, may_hurry: bool) -> bool:
        """Let news come together before the next look. A look that came upon a start is held up by it, and should not
        hold up the next one too: who may hurry goes on once the start is done. Returns whether that was so."""
        await asyncio.sleep(GATHER)
        if not may_hurry:
            await asyncio.sleep(max(0.0, seconds - GATHER))
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds - GATHER)):
                await self._done.wait()
                return True
        return False

    async def round(self, lanes: Lanes) -> float:
        """One round. Returns the seconds until the next look is due at the latest."""
        looked = time.monotonic()
        desired = await self._registry.desired()
        self.observed = await self.look(desired)
        now, tick = time.time(), time.monotonic()
        desired = self._patience.of(desired, now, tick)
        plans = list(self._plans(desired, now))
        self._note_ready(plans)
        self._tell_look(desired)
        await self._deaths.write(self.observed)
        await self._correct_notes(lanes)
        rest = lanes.run(plans, looked)
        waits = [one.look_at - now for one in plans if one.look_at is not None]
        return max(SOON, min([QUIET, *waits, *([rest] if rest is not None else [])]))

    async def look(self, desired: Desired) -> Observed:
        """Everything that is there now, and whose health is to be watched."""
        sighting = await self._engine.observe()
        checks = self._how_to_check(desired)
        watched: dict[str, Health | None] = {}
        for one in sighting.instances:
            kind = (one.app, one.service, one.fingerprint)
            if kind in checks:
                watched[one.id] = checks[kind]
        self._engine.watch(watched)
        started = {one.id: one.started for one in sighting.instances if one.running}
        self._executor.proven &= {key for key, when in started.items() if self._started.get(key, when) == when}
        self._started = started
        return Observed(
            boot=self._engine.info.boot,
            instances=self._patience.deaths(sighting.instances, time.time(), time.monotonic()),
            hooks=sighting.hooks,
            networks=sighting.networks,
            volumes=sighting.volumes,
            images=sighting.images,
            routes=self._ingress.routes(),
            streams=self._ingress.streams.entries(),
            closed=self._ingress.streams.troubles(),
            proven=frozenset(self._executor.proven),
            notes=await self._registry.notes(),
        )

    def _tell_look(self, desired: Desired) -> None:
        """Whoever only watches holds nothing up. Before everything has been probed there is nothing to be told: that
        health is not known yet after a start of minipaas says nothing about the apps."""
        if self._on_look is None or not self.ready.is_set():
            return
        try:
            self._on_look(desired, self.observed)
            self._told.pop("look", None)
        except Exception as bug:
            self._tell("look", "cannot tell what was seen", bug)

    def _plans(self, desired: Desired, now: float) -> Iterator[AppPlan]:
        for app in desired.apps:
            try:
                yield plan_app(app, self.observed, now)
                self._told.pop(app.app, None)
            except Exception as bug:
                self._tell(app.app, f"cannot plan {app.app}", bug)
        yield from plan_strays(desired, self.observed)

    def _note_ready(self, plans: list[AppPlan]) -> None:
        """Whoever waits for the first look may go on: what can be known of health is known, and routed."""
        if self.ready.is_set():
            return
        routed = not any(isinstance(step, SetRoutes) for one in plans for step in one.quick)
        kinds = self._checks[1]
        known = [one for one in self.observed.instances if (one.app, one.service, one.fingerprint) in kinds]
        if routed and all(_probed(one) for one in known if one.running):
            self.ready.set()

    async def _correct_notes(self, lanes: Lanes) -> None:
        """A stop that was noted and then called off has not happened: the next end of that container is its own."""
        for key, note in self.observed.notes.items():
            if note.stopped and key in self._started and not lanes.busy(self._app_of(key)):
                await self._registry.note(key, stopped="")

    def _app_of(self, instance: str) -> str:
        return next(one.app for one in self.observed.instances if one.id == instance)

    def _how_to_check(self, desired: Desired) -> Mapping[Kind, Health | None]:
        """How to ask each kind of instance for its health; the newest release that has the kind says it."""
        if self._checks[0] is not desired:
            checks: dict[Kind, Health | None] = {}
            for app in desired.apps:
                for release in (app.target, app.serving, app.good):
                    for kind, check in _checks_of(release).items() if release is not None else ():
                        checks.setdefault(kind, check)
            self._checks = (desired, checks)
        return self._checks[1]

    def _in_trouble(self, error: Exception) -> None:
        self.trouble = error.message if isinstance(error, MinipaasError) else f"a bug in minipaas: {error!r}"
        self._tell("", "cannot reconcile", error)

    def _recovered(self) -> None:
        if self.trouble:
            log.info("reconciling again")
        self.trouble = ""
        self._told.pop("", None)

    def _tell(self, where: str, what: str, error: Exception) -> None:
        """Log it, unless it was the last that was logged from there: Podman may be away for days."""
        said = error.message if isinstance(error, MinipaasError) else repr(error)
        if self._told.get(where) != said:
            self._told[where] = said
            log.warning("%s: %s", what, said, exc_info=None if isinstance(error, MinipaasError) else error)


def _checks_of(release: Release) -> dict[Kind, Health | None]:
    return {
        (release.app, service, fingerprint): effective_health(release.spec.services[service])
        for service, fingerprint in fingerprints(release).items()
    }


def _probed(instance: Instance) -> bool:
    """Whether something is known of its health."""
    if instance.health is HealthState.STARTING:
        return bool(instance.health_detail)
    return instance.health is not HealthState.UNKNOWN

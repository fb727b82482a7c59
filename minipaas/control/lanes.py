"""Lanes: every app's steps run in tasks of their own, so that a slow drain in one app holds up no other, and a long
pull or hook holds up nothing that keeps the app alive meanwhile.

What always holds: an app has at most one quick and one slow lane; a lane whose change was superseded is cancelled, and
nothing of the next change begins before it has ended; a plan counts only if no lane of its app has ended since the
look that it was made from, or what was just done would be done again; a lane that failed, or does the same over and
over, rests for a growing time, but routes follow the instances even then; every step is journaled, unless the disk is
too full for it; every task is held by the group that the lanes were given; nothing that goes wrong in a lane ends more
than that lane.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct, field

from minipaas.control.execute import SUPERSEDED, Broke, Executor
from minipaas.control.rests import Rest
from minipaas.model.change import ChangeState
from minipaas.model.errors import EngineDown, MinipaasError, NoSpace
from minipaas.model.steps import (
    Drain,
    ProveInstance,
    PullImage,
    RemoveInstance,
    RevertChange,
    SetRoutes,
    StartInstance,
    Step,
    StopInstance,
    WakeInstance,
)
from minipaas.plan.planner import AppPlan
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)

TOGETHER = (PullImage, StartInstance, WakeInstance, ProveInstance, StopInstance, RemoveInstance)
"""Neighbouring steps of one of these types do not depend on each other, and run side by side."""
UPKEEP = (SetRoutes, Drain, StopInstance, RemoveInstance)
"""A failure of one of these is no fault of a release: it never ends a rollout by itself."""
MAX_STRIKES = 3
"""Failed rounds in a row, Podman being there, after which a rollout is given up."""
DOWN_REST = 2.0
"""Longest rest because Podman was away: when it is back, nobody should wait."""
ROUTES_REST = 1.0
"""Longest rest of what only sets routes."""


class Kind(StrEnum):
    """What a lane does."""

    ROUTES = "routes"
    """Only the routes: also while the quick lane rests."""
    QUICK = "quick"
    SLOW = "slow"


class _Lane(Struct):
    change: int | None
    state: ChangeState | None
    task: asyncio.Task[None]


class _App(Struct):
    """The lanes of one app, and their rests."""

    lanes: dict[bool, _Lane] = field(default_factory=dict)
    """By whether it is the slow one."""
    rests: dict[Kind, Rest] = field(default_factory=dict)
    ended: float = -math.inf
    """When the last lane ended, monotonic seconds."""

    def rest(self, kind: Kind) -> Rest:
        if kind not in self.rests:
            self.rests[kind] = Rest(ROUTES_REST) if kind is Kind.ROUTES else Rest()
        return self.rests[kind]


class Lanes:
    """Runs plans. `wake` is called whenever a lane has ended: look again."""

    def __init__(
        self, registry: Registry, executor: Executor, group: asyncio.TaskGroup, wake: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._group = group
        self._wake = wake
        self._apps: dict[str, _App] = {}

    def run(self, plans: Sequence[AppPlan], looked: float) -> float | None:
        """Start what can start now. Plans are of a look that began at `looked` (monotonic seconds). Returns the seconds
        until the next resting lane may go on, or None."""
        now = time.monotonic()
        waits: list[float] = []
        for plan in plans:
            app = self._apps.get(plan.app)
            if app is None and plan.steps:
                app = self._apps[plan.app] = _App()
            if app is not None and app.ended < looked:
                waits += self._run(plan, app, now)
        gone = self._apps.keys() - {plan.app for plan in plans}
        for name in [name for name in gone if not self._apps[name].lanes]:
            del self._apps[name]
        return min(waits) if waits else None

    def busy(self, app: str) -> bool:
        """Whether a step of the app is being done now."""
        return app in self._apps and bool(self._apps[app].lanes)

    def _run(self, plan: AppPlan, app: _App, now: float) -> list[float]:
        """Start the lanes of one app. Returns for how long those rest that have something to do."""
        if self._superseded(plan, app):
            return []
        waits: list[float] = []
        routing, quick, slow = (app.rest(kind).left(plan.change, now) for kind in Kind)
        routes = list(itertools.takewhile(lambda step: isinstance(step, SetRoutes), plan.quick))
        if plan.quick and False not in app.lanes:
            if len(routes) < len(plan.quick) and not quick:
                self._start(plan, app, Kind.QUICK, plan.quick)
            elif routes and not routing:
                self._start(plan, app, Kind.ROUTES, routes)
            else:
                waits.append(routing if routes else quick)
        # First what is quick: routes are elsewhere before anything is drained.
        if plan.slow and True not in app.lanes and not routes and (quick or not plan.quick):
            if slow:
                waits.append(slow)
            else:
                self._start(plan, app, Kind.SLOW, plan.slow)
        return waits

    def _superseded(self, plan: AppPlan, app: _App) -> bool:
        """Cancel what is done for an earlier change, or for a state that its change has left. Whether one is left whose
        end has to be awaited. (A change that is no more active has ended in its own lane.)"""
        for slow, lane in app.lanes.items():
            moved = lane.change != plan.change and plan.change is not None
            if moved or (slow and (lane.change, lane.state) != (plan.change, plan.state)):
                lane.task.cancel(SUPERSEDED)
        return any(lane.change != plan.change for lane in app.lanes.values())

    def _start(self, plan: AppPlan, app: _App, kind: Kind, steps: Sequence[Step]) -> None:
        slow = kind is Kind.SLOW
        task = self._group.create_task(self._drive(plan, app.rest(kind), steps), name=f"{kind} lane of {plan.app}")
        app.lanes[slow] = _Lane(plan.change, plan.state, task)
        task.add_done_callback(functools.partial(self._ended, app, slow))

    def _ended(self, app: _App, slow: bool, _: asyncio.Task[None]) -> None:
        del app.lanes[slow]
        app.ended = time.monotonic()
        self._wake()

    async def _drive(self, plan: AppPlan, rest: Rest, steps: Sequence[Step]) -> None:
        """Steps in order; the first failure ends the round."""
        try:
            for batch in _batches(steps):
                failures = await self._batch(plan, batch)
                if failures:
                    await self._failed(plan, rest, failures)
                    return
        except Exception as bug:
            # In the handling of failures itself, or a registry that cannot be read: other apps must not suffer.
            rest.failed(plan.change, time.monotonic(), strike=False)
            log.error("%s: unexpected: %r", plan.app, bug, exc_info=None if isinstance(bug, MinipaasError) else bug)
        else:
            rest.succeeded(plan.change, tuple(_signature(step) for step in steps), time.monotonic())

    async def _batch(self, plan: AppPlan, batch: list[Step]) -> list[tuple[Step, MinipaasError]]:
        """Do the steps side by side, each to its end: one that fails is no reason to stop another half-way. Returns
        those that failed, and why."""
        if len(batch) == 1:
            error = await self._record(plan, batch[0])
            return [] if error is None else [(batch[0], error)]
        async with asyncio.TaskGroup() as group:
            tasks = [(step, group.create_task(self._record(plan, step), name=step.title)) for step in batch]
        return [(step, error) for step, task in tasks if (error := task.result()) is not None]

    async def _record(self, plan: AppPlan, step: Step) -> MinipaasError | None:
        """Do one step inside its journal row; returns why it failed."""
        row = await self._begin(plan, step)
        try:
            await self._executor.execute(step)
        except MinipaasError as error:
            await self._end(row, False, error.message)
            return error
        except asyncio.CancelledError:
            await self._end(row, False, "interrupted")
            raise
        except Exception as bug:
            # A bug of ours in one app must not take the box down with all others, nor hold a change for ever.
            log.exception("%s: %s: unexpected", plan.app, step.title)
            reason = f"minipaas failed at a step of {plan.app}: {bug!r}"
            await self._end(row, False, reason)
            return MinipaasError(reason, hint="the box's log has the whole story", code="bug")
        await self._end(row, True, "")
        return None

    async def _begin(self, plan: AppPlan, step: Step) -> int | None:
        try:
            return await self._registry.begin_step(plan.change, plan.app, type(step).__name__, step.title, time.time())
        except NoSpace as full:
            # An app must not stay down because what is done for it cannot be written down.
            log.warning("%s: not in the journal: %s (%s)", plan.app, step.title, full.message)
            return None

    async def _end(self, row: int | None, ok: bool, detail: str) -> None:
        if row is not None:
            try:
                await self._registry.end_step(row, ok, detail, time.time())
            except NoSpace as full:
                log.warning("the end of step %d is not in the journal: %s", row, full.message)

    async def _failed(self, plan: AppPlan, rest: Rest, failures: list[tuple[Step, MinipaasError]]) -> None:
        """Give the change up if it cannot survive this; else rest and try again."""
        # Superseded while a step was under way: nothing to tell, the next look sees the change that counts.
        errors = [error for _, error in failures if error.code != "change.ended"]
        for error in errors:
            log.warning("%s: %s", plan.app, error.message)
        now = time.monotonic()
        if all(isinstance(error, EngineDown) for error in errors):
            rest.failed(plan.change, now, strike=False, most=DOWN_REST)
            return
        broke = next((error for error in errors if isinstance(error, Broke)), None)
        blamed = next((error for step, error in failures if _counts(plan, step, error)), None)
        strikes = rest.failed(plan.change, now, strike=blamed is not None)
        if plan.change is None or (broke is None and (blamed is None or strikes < MAX_STRIKES)):
            return
        change = await self._registry.change(plan.change)
        if change.state not in (ChangeState.ROLLING, ChangeState.CONFIRMING):
            return
        reason = broke or blamed
        assert reason is not None  # noqa: S101 - one of them has brought us here
        text = f"{broke.message}\n{broke.output}" if broke is not None and broke.output else reason.message
        step = RevertChange(
            app=plan.app, change=plan.change, reason=text, culprit=broke.culprit if broke is not None else None
        )
        if await self._record(plan, step) is None:
            rest.end()


def _counts(plan: AppPlan, step: Step, error: MinipaasError) -> bool:
    """Whether a failure speaks against the release that is being rolled out: not one of upkeep, nor of a full disk."""
    if isinstance(step, UPKEEP) or error.code in ("change.ended", "registry.full") or isinstance(error, EngineDown):
        return False
    return not isinstance(step, StartInstance) or step.launch.change == plan.change


def _signature(step: Step) -> tuple[object, ...]:
    """Tells a step from others of its plan, and is the same when it is planned again."""
    if isinstance(step, SetRoutes):
        return ("SetRoutes", step.entries)
    launch = step.launch if isinstance(step, StartInstance) else step
    return (type(step).__name__, getattr(launch, "service", ""), getattr(launch, "slot", 0))


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Neighbours that may run side by side together, all others alone."""
    for kind, run in itertools.groupby(steps, type):
        if kind in TOGETHER:
            yield list(run)
        else:
            yield from ([step] for step in run)

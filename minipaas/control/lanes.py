"""Lanes: every app's steps run in a task of their own, so that a slow drain in one app holds up no other.

What always holds: one lane an app at a time; a lane whose change was superseded is cancelled; a lane that failed rests
for a growing time; every step is journaled; every task is held by the group that the lanes were given.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from minipaas.control.execute import SUPERSEDED, Broke, Executor
from minipaas.model.change import ChangeState
from minipaas.model.errors import EngineDown, MinipaasError
from minipaas.model.steps import (
    ProveInstance,
    PullImage,
    RemoveInstance,
    RevertChange,
    StartInstance,
    Step,
    StopInstance,
    WakeInstance,
)
from minipaas.plan.planner import AppPlan
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)
E = TypeVar("E", bound=BaseException)

TOGETHER = (PullImage, StartInstance, WakeInstance, ProveInstance, StopInstance, RemoveInstance)
"""Neighbouring steps of one of these types do not depend on each other, and run side by side."""
MAX_STRIKES = 3
"""Failed rounds in a row, Podman being there, after which a rollout is given up."""
FIRST_REST = 0.5
MAX_REST = 60.0


class _Lane(Struct):
    change: int | None
    task: asyncio.Task[None]


class _Rest(Struct):
    """How often in a row an app's lane has failed, and until when it rests (monotonic seconds)."""

    change: int | None
    strikes: int
    until: float


class Lanes:
    """Runs plans. `wake` is called whenever a lane has ended: look again."""

    def __init__(
        self, registry: Registry, executor: Executor, group: asyncio.TaskGroup, wake: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._group = group
        self._wake = wake
        self._lanes: dict[str, _Lane] = {}
        self._rests: dict[str, _Rest] = {}

    def run(self, plans: Sequence[AppPlan]) -> float | None:
        """Start what can start now. Returns the seconds until the next resting lane may go on, or None."""
        for plan in plans:
            lane = self._lanes.get(plan.app)
            if lane is not None:
                if lane.change != plan.change:
                    lane.task.cancel(SUPERSEDED)
            elif plan.steps and self._rested(plan):
                task = self._group.create_task(self._drive(plan), name=f"lane {plan.app}")
                self._lanes[plan.app] = _Lane(plan.change, task)
                task.add_done_callback(functools.partial(self._ended, plan.app))
        waits = [rest.until - time.monotonic() for rest in self._rests.values()]
        return max(0.0, min(waits)) if waits else None

    @property
    def busy(self) -> bool:
        """Whether any step is being done now."""
        return bool(self._lanes)

    def _rested(self, plan: AppPlan) -> bool:
        rest = self._rests.get(plan.app)
        return rest is None or rest.change != plan.change or rest.until <= time.monotonic()

    def _ended(self, app: str, _: asyncio.Task[None]) -> None:
        del self._lanes[app]
        self._wake()

    async def _drive(self, plan: AppPlan) -> None:
        """All steps of a plan in order; the first failure ends the round."""
        try:
            for batch in _batches(plan.steps):
                await self._batch(plan, batch)
        except* EngineDown as down:
            log.warning("%s: %s", plan.app, down.exceptions[0])
            self._tire(plan, strike=False)
        except* MinipaasError as errors:
            await self._failed(plan, _leaves(errors))
        except* Exception as bugs:
            # A bug of ours in one app must not take the box down with all others, nor hold a change for ever.
            log.exception("%s: unexpected", plan.app)
            reason = f"minipaas failed at a step of {plan.app}: {_leaves(bugs)[0]!r}"
            await self._failed(plan, [MinipaasError(reason, hint="the box's log has the whole story", code="bug")])
        else:
            self._rests.pop(plan.app, None)

    async def _batch(self, plan: AppPlan, batch: list[Step]) -> None:
        if len(batch) == 1:
            await self._record(plan, batch[0])
            return
        async with asyncio.TaskGroup() as group:
            for step in batch:
                group.create_task(self._record(plan, step), name=step.title)

    async def _record(self, plan: AppPlan, step: Step) -> None:
        """Do one step inside its journal row."""
        row = await self._registry.begin_step(plan.change, plan.app, type(step).__name__, step.title, time.time())
        try:
            await self._executor.execute(step)
        except MinipaasError as error:
            await self._registry.end_step(row, False, error.message, time.time())
            raise
        except asyncio.CancelledError:
            await self._registry.end_step(row, False, "interrupted", time.time())
            raise
        await self._registry.end_step(row, True, "", time.time())

    async def _failed(self, plan: AppPlan, errors: list[MinipaasError]) -> None:
        """Give the change up if it cannot survive this; else rest and try again."""
        broke = next((error for error in errors if isinstance(error, Broke)), None)
        strikes = self._tire(plan, strike=True)
        for error in errors:
            log.warning("%s: %s", plan.app, error.message)
        if plan.change is None or (broke is None and strikes < MAX_STRIKES):
            return
        change = await self._registry.change(plan.change)
        if change.state not in (ChangeState.ROLLING, ChangeState.CONFIRMING):
            return
        reason = broke.message if broke is not None else errors[0].message
        if broke is not None and broke.output:
            reason = f"{reason}\n{broke.output}"
        step = RevertChange(
            app=plan.app, change=plan.change, reason=reason, culprit=broke.culprit if broke is not None else None
        )
        await self._record(plan, step)
        self._rests.pop(plan.app, None)

    def _tire(self, plan: AppPlan, *, strike: bool) -> int:
        """Let the app rest. Returns the strikes of this change so far."""
        rest = self._rests.get(plan.app)
        before = rest.strikes if rest is not None and rest.change == plan.change else 0
        strikes = before + strike
        pause = min(MAX_REST, FIRST_REST * 2**strikes)
        self._rests[plan.app] = _Rest(plan.change, strikes, time.monotonic() + pause)
        return strikes


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Neighbours that may run side by side together, all others alone."""
    for kind, run in itertools.groupby(steps, type):
        if kind in TOGETHER:
            yield list(run)
        else:
            yield from ([step] for step in run)


def _leaves(group: BaseExceptionGroup[E]) -> list[E]:
    leaves: list[E] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves

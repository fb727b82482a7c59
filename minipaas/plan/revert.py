"""REVERTING: the target has failed; bring the last good release back to where it was, and prove it before saying so.

What always holds: it ends at its deadline, whatever happens; it never says that the good release is back before its
routes have answered; what failed keeps its container as a scene.
"""

from __future__ import annotations

from minipaas.model.change import AppDesired, Change
from minipaas.model.observed import Observed
from minipaas.model.release import Release
from minipaas.model.steps import FinishChange, ProveRoutes, SetRoutes, Step
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, answerable, entries, fill, set_routes, stop, streams
from minipaas.plan.slots import UNHEALTHY, Slot, SlotState, slots

RETRY = 1.0
SPARE = 30.0
"""Seconds after the deadline in which a good release that is ready may still be proven, although what failed cannot be
stopped."""


def reverting(desired: AppDesired, change: Change, observed: Observed, now: float) -> Todo:
    """One round of the way back."""
    good, target = desired.good, desired.target
    wanted = slots(good, observed) if good is not None else ()
    scenes = _stop_target(target, wanted, observed) if target is not None else []
    if good is None:
        quick: list[Step] = []
        routed = [one.backends for one in observed.routes_of(change.app)]
        if any((*routed, *(one.backends for one in observed.streams_of(change.app)))):
            quick.append(SetRoutes(app=change.app, entries=()))
        restored = FinishChange(app=change.app, change=change.id, event=Event.RESTORED.value)
        return Todo(quick, scenes, [restored]) if now < change.deadline else Todo([*quick, restored])
    known = [release for release in (target, desired.serving) if release is not None]
    todo = fill(good, wanted, observed, now, change=change.id, known=known)
    ready = todo.idle and all(slot.state is SlotState.READY for slot in wanted)
    if now >= change.deadline and not (ready and scenes and now < change.deadline + SPARE):
        reason = f"the last good release ({good.version}) does not answer either; minipaas keeps trying"
        return Todo([FinishChange(app=change.app, change=change.id, event=Event.LOST.value, reason=reason)])
    if ready and (not scenes or now >= change.deadline):
        routes, open_ = entries(good, wanted), streams(good, wanted)
        finish = FinishChange(app=change.app, change=change.id, event=Event.RESTORED.value)
        prove = ProveRoutes(app=good.app, entries=answerable(good, routes), streams=answerable(good, open_))
        return Todo([*set_routes(good.app, routes, open_, observed), prove, finish], look_at=change.deadline)
    todo.slow[:0] = [step for step in scenes if step not in todo.slow]
    if desired.serving is not None:
        standing = slots(desired.serving, observed)
        routes = entries(desired.serving, standing, without=todo.leaving)
        closed = {port.stream for spec in good.spec.services.values() for port in spec.published}
        open_ = streams(desired.serving, standing, without=todo.leaving, closed=closed)
        todo.quick[:0] = set_routes(good.app, routes, open_, observed)
    todo.later(min(now + RETRY, change.deadline))
    return todo


def _stop_target(target: Release, good: tuple[Slot, ...], observed: Observed) -> list[Step]:
    """Stop what failed; its container stays as a scene."""
    needed = {slot.instance.id for slot in good if slot.instance is not None}
    steps: list[Step] = []
    for slot in slots(target, observed):
        if slot.instance is None or slot.instance.id in needed or not slot.instance.running:
            continue
        if slot.state is not SlotState.READY:
            why = slot.instance.health_detail or "it was not ready in time"
            steps.append(stop(target, slot, f"{UNHEALTHY}: {why}"))
    return steps

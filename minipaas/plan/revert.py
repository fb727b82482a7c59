"""REVERTING: the target has failed; bring the last good release back to where it was, and prove it before saying so."""

from __future__ import annotations

from minipaas.model.change import AppDesired, Change
from minipaas.model.observed import Observed
from minipaas.model.release import Release
from minipaas.model.steps import FinishChange, ProveRoutes, SetRoutes, Step
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, entries, fill, set_routes, stop
from minipaas.plan.slots import UNHEALTHY, SlotState, slots

RETRY = 1.0


def reverting(desired: AppDesired, change: Change, observed: Observed, now: float) -> Todo:
    """One round of the way back."""
    good, target = desired.good, desired.target
    steps = _stop_target(target, good, observed) if target is not None else []
    if good is None:
        if any(entry.app == change.app and entry.backends for entry in observed.routes):
            steps.insert(0, SetRoutes(app=change.app, entries=()))
        return Todo([*steps, FinishChange(app=change.app, change=change.id, event=Event.RESTORED.value)])
    wanted = slots(good, observed)
    todo = fill(good, wanted, observed, now, since=change.started)
    todo.steps[:0] = steps
    if all(slot.state is SlotState.READY for slot in wanted) and not todo.steps:
        routes = entries(good, wanted)
        finish = FinishChange(app=change.app, change=change.id, event=Event.RESTORED.value)
        return Todo([*set_routes(good.app, routes, observed), ProveRoutes(app=good.app, entries=routes), finish])
    if now >= change.deadline:
        reason = f"the last good release ({good.version}) does not answer either; minipaas keeps trying"
        return Todo([FinishChange(app=change.app, change=change.id, event=Event.LOST.value, reason=reason)])
    if desired.serving is not None:
        todo.steps += set_routes(good.app, entries(desired.serving, slots(desired.serving, observed)), observed)
    todo.later(min(now + RETRY, change.deadline))
    return todo


def _stop_target(target: Release, good: Release | None, observed: Observed) -> list[Step]:
    """Stop what failed (its container stays as a scene) and what stands in the way of a pinned service's way back."""
    needed = {slot.instance.id for slot in slots(good, observed) if slot.instance} if good is not None else set()
    steps: list[Step] = []
    for slot in slots(target, observed):
        if slot.instance is None or slot.instance.id in needed or not slot.instance.running:
            continue
        if slot.state is not SlotState.READY:
            why = slot.instance.health_detail or "it was not ready in time"
            steps.append(stop(target, slot, f"{UNHEALTHY}: {why}"))
        elif target.spec.services[slot.service].pinned:
            steps.append(stop(target, slot, "reverted"))
    return steps

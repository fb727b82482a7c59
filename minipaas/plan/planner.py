"""The planner: desired and observed in, the steps that are left out. Same inputs, same steps.

It is level-triggered: it knows nothing of earlier rounds, so it may be interrupted after any step and asked again.
No steps and no `look_at` means settled.
"""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.change import AppDesired, Change, ChangeState, Desired
from minipaas.model.launch import network_name, volume_name
from minipaas.model.observed import Observed
from minipaas.model.steps import FinishChange, RemoveNetwork, RemoveVolume, SetRoutes, Step
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, entries, fill, set_routes
from minipaas.plan.revert import reverting
from minipaas.plan.rollout import confirming, rolling
from minipaas.plan.slots import slots, surplus
from minipaas.plan.sweep import REMOVED, REPLACED, sweep


class AppPlan(Struct, frozen=True, kw_only=True):
    """What is left to do for one app, in order."""

    app: str
    change: int | None
    steps: tuple[Step, ...]
    look_at: float | None
    """Unix seconds: look again then, even if nothing happens."""


def plan(desired: Desired, observed: Observed, now: float) -> tuple[AppPlan, ...]:
    """A plan for every app that is desired, and for containers of apps that nobody wants any more."""
    plans = [plan_app(app, observed, now) for app in desired.apps]
    known = {app.app for app in desired.apps}
    strays = {one.app for one in observed.instances} | {entry.app for entry in observed.routes}
    for app in sorted(strays - known):
        plans.append(AppPlan(app=app, change=None, steps=tuple(_take_down(app, observed)), look_at=None))
    return tuple(plans)


def plan_app(desired: AppDesired, observed: Observed, now: float) -> AppPlan:
    """The plan for one app. Times are Unix seconds."""
    change = desired.change
    todo = _todo(desired, change, observed, now)
    return AppPlan(app=desired.app, change=change.id if change else None, steps=tuple(todo.steps), look_at=todo.look_at)


def _todo(desired: AppDesired, change: Change | None, observed: Observed, now: float) -> Todo:
    if change is None:
        return _settled(desired, observed, now)
    match change.state:
        case ChangeState.ROLLING if desired.target is not None:
            return rolling(desired, change, desired.target, observed, now)
        case ChangeState.CONFIRMING if desired.target is not None:
            return confirming(change, desired.target, observed, now)
        case ChangeState.REVERTING:
            return reverting(desired, change, observed, now)
        case ChangeState.REMOVING:
            return _removing(desired, change, observed)
        case _:
            raise AssertionError(f"change {change.id} of {desired.app} is {change.state} and yet active")


def _settled(desired: AppDesired, observed: Observed, now: float) -> Todo:
    """No change under way: keep the serving release as it is, and take away what it replaced."""
    release = desired.serving
    if release is None:
        return Todo(_sweep_unserved(desired.app, observed))
    wanted = slots(release, observed)
    todo = fill(release, wanted, observed, now)
    todo.steps += set_routes(release.app, entries(release, wanted), observed)
    todo.steps += sweep(
        release.app,
        surplus(release.app, wanted, observed),
        why=REPLACED,
        drain=float(release.spec.rollout.drain),
        stop={name: float(service.stop) for name, service in release.spec.services.items()},
    )
    return todo


def _sweep_unserved(app: str, observed: Observed) -> list[Step]:
    """An app whose first release failed: nothing serves, the scenes stay."""
    steps: list[Step] = []
    if any(entry.app == app for entry in observed.routes):
        steps.append(SetRoutes(app=app, entries=()))
    return steps + sweep(app, surplus(app, (), observed), why=REPLACED, drain=0.0, stop={})


def _removing(desired: AppDesired, change: Change, observed: Observed) -> Todo:
    """Everything of the app goes; volumes only if that was asked for."""
    app = desired.app
    steps = _take_down(app, observed)
    if network_name(app) in observed.networks:
        steps.append(RemoveNetwork(app=app))
    if change.purge:
        prefix = volume_name(app, "")
        steps += [RemoveVolume(app=app, volume=name) for name in sorted(observed.volumes) if name.startswith(prefix)]
    steps.append(FinishChange(app=app, change=change.id, event=Event.REMOVED.value))
    return Todo(steps)


def _take_down(app: str, observed: Observed) -> list[Step]:
    steps: list[Step] = []
    if any(entry.app == app for entry in observed.routes):
        steps.append(SetRoutes(app=app, entries=()))
    return steps + sweep(app, observed.of(app), why=REMOVED, drain=10.0, stop={})

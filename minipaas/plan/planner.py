"""The planner: desired and observed in, the steps that are left out. Same inputs, same steps.

It is level-triggered: it knows nothing of earlier rounds, so it may be interrupted after any step and asked again.
No steps and no `look_at` means settled.
"""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.change import AppDesired, Change, ChangeState, Desired
from minipaas.model.launch import network_name, volume_name
from minipaas.model.observed import Observed
from minipaas.model.steps import Drain, FinishChange, RemoveNetwork, RemoveVolume, Step
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, entries, fill, set_routes, streams
from minipaas.plan.revert import reverting
from minipaas.plan.rollout import confirming, rolling
from minipaas.plan.slots import slots, surplus
from minipaas.plan.sweep import REMOVED, REPLACED, end_hooks, sweep, sweep_surplus

MAX_REASON = 1000


class AppPlan(Struct, frozen=True, kw_only=True):
    """What is left to do for one app, in order: first the quick steps; then the slow ones, which may take minutes and
    hold up no quick step of a later plan; then what waits for them."""

    app: str
    change: int | None
    state: ChangeState | None = None
    """Of the change."""
    quick: tuple[Step, ...] = ()
    slow: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    look_at: float | None = None
    """Unix seconds: look again then, even if nothing happens."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them."""
        return (*self.quick, *self.slow, *self.after)


def plan(desired: Desired, observed: Observed, now: float) -> tuple[AppPlan, ...]:
    """A plan for every app that is desired, and for containers of apps that nobody wants any more."""
    return (*(plan_app(app, observed, now) for app in desired.apps), *plan_strays(desired, observed))


def plan_app(desired: AppDesired, observed: Observed, now: float) -> AppPlan:
    """The plan for one app. Times are Unix seconds."""
    change = desired.change
    todo = _todo(desired, change, observed, now)
    rolling = change.id if change is not None and change.state is ChangeState.ROLLING else None
    ends = end_hooks(desired.app, [hook for hook in observed.hooks if hook.change != rolling])
    todo.slow += [step for step in ends if step not in todo.slow]
    return _app_plan(desired.app, change, todo)


def plan_strays(desired: Desired, observed: Observed) -> tuple[AppPlan, ...]:
    """Plans that take down what is there of apps that nobody wants."""
    known = {app.app for app in desired.apps}
    there = {one.app for one in observed.instances} | {one.app for one in observed.hooks}
    there |= {entry.app for entry in observed.routes} | {entry.app for entry in observed.streams}
    return tuple(_app_plan(app, None, _take_down(app, observed)) for app in sorted(there - known))


def _app_plan(app: str, change: Change | None, todo: Todo) -> AppPlan:
    quick, after = (todo.quick, todo.after) if todo.quick or todo.slow else (todo.after, [])
    return AppPlan(
        app=app,
        change=change.id if change else None,
        state=change.state if change else None,
        quick=tuple(quick),
        slow=tuple(todo.slow),
        after=tuple(after),
        look_at=todo.look_at,
    )


def _todo(desired: AppDesired, change: Change | None, observed: Observed, now: float) -> Todo:
    if change is None:
        return _settled(desired, observed, now)
    match change.state:
        case ChangeState.ROLLING if desired.target is not None:
            return rolling(desired, change, desired.target, observed, now)
        case ChangeState.CONFIRMING if desired.target is not None:
            return confirming(desired, change, desired.target, observed, now)
        case ChangeState.REVERTING:
            return reverting(desired, change, observed, now)
        case ChangeState.REMOVING:
            return _removing(desired, change, observed, now)
        case _:
            raise AssertionError(f"change {change.id} of {desired.app} is {change.state} and yet active")


def _settled(desired: AppDesired, observed: Observed, now: float) -> Todo:
    """No change under way: keep the serving release as it is, and take away what it replaced."""
    release = desired.serving
    if release is None:
        return _unserved(desired.app, observed)
    wanted = slots(release, observed)
    todo = fill(release, wanted, observed, now)
    todo.quick[:0] = set_routes(release.app, entries(release, wanted), streams(release, wanted), observed)
    left = surplus(release.app, wanted, observed)
    todo.slow += sweep_surplus(release, [one for one in left if one.id not in todo.leaving])
    return todo


def _unserved(app: str, observed: Observed) -> Todo:
    """An app whose first release failed: nothing serves, the scenes stay."""
    return Todo(
        set_routes(app, (), (), observed), sweep(app, surplus(app, (), observed), why=REPLACED, drain=0.0, stop={})
    )


def _removing(desired: AppDesired, change: Change, observed: Observed, now: float) -> Todo:
    """Everything of the app goes; volumes only if that was asked for."""
    app = desired.app
    todo = _take_down(app, observed)
    if network_name(app) in observed.networks:
        todo.slow.append(RemoveNetwork(app=app))
    if change.purge:
        prefix = volume_name(app, "")
        todo.slow += [
            RemoveVolume(app=app, volume=name) for name in sorted(observed.volumes) if name.startswith(prefix)
        ]
    if todo.slow and now >= change.deadline:
        left = ", ".join(step.title for step in todo.slow if not isinstance(step, Drain))
        stuck = FinishChange(
            app=app, change=change.id, event=Event.STUCK.value, reason=f"not done in time: {left}"[:MAX_REASON]
        )
        return Todo([*todo.quick, stuck])
    todo.after.append(FinishChange(app=app, change=change.id, event=Event.REMOVED.value))
    todo.later(change.deadline)
    return todo


def _take_down(app: str, observed: Observed) -> Todo:
    steps = sweep(app, observed.of(app), why=REMOVED, drain=10.0, stop={}, force=True)
    return Todo(set_routes(app, (), (), observed), steps + end_hooks(app, observed.hooks))

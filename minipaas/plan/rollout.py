"""ROLLING and CONFIRMING: bring the target up beside the old release, prove it, switch, and watch it for a while.

What always holds: before SwitchRelease no unpinned instance of the old release is touched; a service starts only when
the services it depends on are ready and its own release hook has succeeded; a pinned service (it holds a volume or a
host port) is stopped before its successor starts, and only when every service that does not depend on it is ready, so
that it is away for as short as can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minipaas.model.change import AppDesired, Change
from minipaas.model.launch import Launch
from minipaas.model.observed import Instance, InstanceState, Observed
from minipaas.model.release import Release
from minipaas.model.spec import AppSpec
from minipaas.model.steps import (
    Drain,
    FinishChange,
    ProveInstance,
    ProveRoutes,
    RevertChange,
    RunHook,
    SetRoutes,
    StartInstance,
    Step,
    StopInstance,
    SwitchRelease,
)
from minipaas.plan.launches import fingerprints, launch_for
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, entries, fill, prepare, set_routes
from minipaas.plan.slots import Slot, SlotState, slots
from minipaas.plan.sweep import REPLACED

MAX_ATTEMPTS = 3
"""So many deaths of one instance fail a rollout."""


def rolling(desired: AppDesired, change: Change, target: Release, observed: Observed, now: float) -> Todo:
    """One round of a rollout that has not switched yet."""
    wanted = slots(target, observed)
    broken = _verdict(change, target, wanted, now)
    if broken is not None:
        return Todo([broken])
    todo = Todo([], look_at=change.deadline)
    ready = {service for service in target.spec.services if _ready(service, wanted)}
    for service in target.spec.start_order():
        if service in ready or not ready.issuperset(target.spec.services[service].depends_on):
            continue
        if _hook_pending(change, target, service):
            todo.steps += [*prepare(target, [service], observed), _hook(change, target, service)]
            continue
        if target.spec.services[service].pinned:
            if not ready.issuperset(_independent_of(service, target.spec)):
                continue
            todo.steps += _stop_holders(desired.serving, target, service, wanted, observed)
        mine = [slot for slot in wanted if slot.service == service]
        filling = fill(target, mine, observed, now, since=change.started)
        todo.steps += [step for step in filling.steps if step not in todo.steps]
        todo.later(filling.look_at)
    if desired.serving is not None:
        _keep_serving(todo, desired.serving, target, wanted, observed, now)
    if len(ready) < len(target.spec.services):
        return todo
    proofs = _proofs(target, wanted, observed)
    if proofs:
        return Todo(proofs, todo.look_at)
    routes = entries(target, wanted)
    switch = SwitchRelease(
        app=target.app, change=change.id, release=target.digest, version=target.version, entries=routes
    )
    return Todo([*todo.steps, switch, ProveRoutes(app=target.app, entries=routes)])


def confirming(change: Change, target: Release, observed: Observed, now: float) -> Todo:
    """One round of the watch after the switch: any failure of the target goes back."""
    wanted = slots(target, observed)
    for slot in wanted:
        if slot.state in (SlotState.DEAD, SlotState.SICK):
            return Todo([_revert(change, slot, "after the switch")])
    todo = fill(target, wanted, observed, now)
    routes = entries(target, wanted)
    todo.steps += set_routes(target.app, routes, observed)
    until = (change.switched or now) + target.spec.rollout.confirm
    if todo.steps or not all(slot.state is SlotState.READY for slot in wanted):
        if now >= change.deadline + target.spec.rollout.confirm:
            reason = "the release was not ready again in time after the switch"
            return Todo([RevertChange(app=target.app, change=change.id, reason=reason)])
        todo.later(change.deadline + target.spec.rollout.confirm)
    elif now >= until:
        finish = FinishChange(app=target.app, change=change.id, event=Event.CONFIRMED.value)
        return Todo([ProveRoutes(app=target.app, entries=routes), finish])
    todo.later(until if now < until else None)
    return todo


def _verdict(change: Change, target: Release, wanted: Sequence[Slot], now: float) -> RevertChange | None:
    """Why this rollout has failed, if it has."""
    for slot in wanted:
        instance = slot.instance
        if instance is None or instance.created < change.started:
            continue
        if slot.state is SlotState.SICK:
            return _revert(change, slot, "before the switch")
        if slot.state is SlotState.DEAD and instance.attempt + 1 >= MAX_ATTEMPTS:
            return _revert(change, slot, "before the switch")
    if now < change.deadline:
        return None
    waiting = next((slot for slot in wanted if slot.state is not SlotState.READY), None)
    what = f"{waiting.service} #{waiting.number}" if waiting is not None else "the release"
    culprit = waiting.instance.id if waiting is not None and waiting.instance is not None else None
    reason = f"{what} was not ready within {target.spec.rollout.deadline}"
    return RevertChange(app=change.app, change=change.id, reason=reason, culprit=culprit)


def _revert(change: Change, slot: Slot, when: str) -> RevertChange:
    assert slot.instance is not None  # noqa: S101 - DEAD and SICK slots have one
    reason = f"{slot.service} #{slot.number} {describe_failure(slot.instance)} {when}"
    return RevertChange(app=change.app, change=change.id, reason=reason, culprit=slot.instance.id)


def describe_failure(instance: Instance) -> str:
    """`exited with code 1 (attempt 3)`, in words for people."""
    if instance.state is InstanceState.RUNNING:
        return f"failed its health check ({instance.health_detail or 'no answer'})"
    attempt = f" (attempt {instance.attempt + 1})" if instance.attempt else ""
    if instance.oom_killed:
        return f"ran out of memory{attempt}"
    return f"exited with code {instance.exit_code}{attempt}"


def _ready(service: str, wanted: Iterable[Slot]) -> bool:
    return all(slot.state is SlotState.READY for slot in wanted if slot.service == service)


def _independent_of(service: str, spec: AppSpec) -> set[str]:
    """Unpinned services that do not depend on `service`, neither directly nor through others."""
    dependents = {service}
    for name in spec.start_order():
        if dependents.intersection(spec.services[name].depends_on):
            dependents.add(name)
    return {name for name, one in spec.services.items() if name not in dependents and not one.pinned}


def _hook_pending(change: Change, target: Release, service: str) -> bool:
    return target.spec.services[service].hooks.release is not None and service not in change.hooks_done


def _hook(change: Change, target: Release, service: str) -> RunHook:
    spec = target.spec.services[service]
    return RunHook(
        app=target.app,
        service=service,
        change=change.id,
        launch=hook_launch(target, service),
        timeout=float(spec.hooks.timeout),
    )


def hook_launch(target: Release, service: str) -> Launch:
    """The service's own container, but it runs the hook and publishes nothing."""
    launch = launch_for(target, service)
    return Launch(
        **{name: getattr(launch, name) for name in launch.__struct_fields__}
        | {"entrypoint": (), "command": target.spec.services[service].hooks.release, "port": None, "published": ()}
    )


def _stop_holders(
    serving: Release | None, target: Release, service: str, wanted: Iterable[Slot], observed: Observed
) -> list[Step]:
    """Stop whoever holds the volume or port of a pinned service, after its requests have ended."""
    filling = {slot.instance.id for slot in wanted if slot.instance is not None}
    holders = [
        one for one in observed.of(target.app) if one.service == service and one.running and one.id not in filling
    ]
    ids = frozenset(one.id for one in holders)
    steps: list[Step] = []
    routed = [entry for entry in observed.routes if any(backend.instance in ids for backend in entry.backends)]
    if routed and serving is not None:
        staying = [slot for slot in slots(serving, observed) if slot.instance is None or slot.instance.id not in ids]
        steps += set_routes(target.app, entries(serving, staying), observed)
        steps.append(
            Drain(
                app=target.app, service=service, instances=tuple(sorted(ids)), timeout=float(target.spec.rollout.drain)
            )
        )
    return steps + [
        StopInstance(
            app=target.app,
            service=service,
            slot=one.slot,
            instance=one.id,
            why=REPLACED,
            timeout=float(target.spec.services[service].stop),
        )
        for one in holders
    ]


def _keep_serving(
    todo: Todo, serving: Release, target: Release, wanted: Iterable[Slot], observed: Observed, now: float
) -> None:
    """The old release is looked after while the new one comes up: its routes follow its instances, and who dies is
    replaced. A pinned service belongs to the target as soon as that has a container for it."""
    new = fingerprints(target)
    taken = {slot.service for slot in wanted if slot.state is not SlotState.ABSENT}
    taken |= {step.launch.service for step in todo.steps if isinstance(step, StartInstance)}
    standing = slots(serving, observed)
    mine = [
        slot
        for slot in standing
        if new.get(slot.service) != fingerprints(serving)[slot.service]
        and not (serving.spec.services[slot.service].pinned and slot.service in taken)
    ]
    filling = fill(serving, mine, observed, now)
    todo.steps += [step for step in filling.steps if step not in todo.steps]
    todo.later(filling.look_at)
    if not any(isinstance(step, SetRoutes) for step in todo.steps):
        todo.steps += set_routes(serving.app, entries(serving, standing), observed)


def _proofs(target: Release, wanted: Iterable[Slot], observed: Observed) -> list[Step]:
    """A request through the ingress to every routed instance that has not answered one yet."""
    steps: list[Step] = []
    for slot in wanted:
        spec = target.spec.services[slot.service]
        instance = slot.instance
        if not spec.routes or instance is None or instance.backend is None or instance.id in observed.proven:
            continue
        host = spec.parsed_routes[0].host
        steps.append(
            ProveInstance(
                app=target.app,
                service=slot.service,
                slot=slot.number,
                backend=instance.backend,
                host=host.replace("*.", "www.") if host != "*" else "localhost",
                path=spec.health.http if spec.health is not None and spec.health.http else "/",
            )
        )
    return steps

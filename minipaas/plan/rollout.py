"""ROLLING and CONFIRMING: bring the target up beside the old release, prove it, switch, and watch it for a while.

What always holds: before SwitchRelease no unpinned instance of the old release is touched, but those that fail are
replaced; a service starts only when the services it depends on are ready and its own release hook has succeeded; a
pinned service (it holds a volume or a host port) is stopped before its successor starts, and only when everything that
can be ready without it is, so that it is away for as short as can be. No clock but `now` and the change's own times
is believed: a failure counts when its container was started in this change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from minipaas.model.change import AppDesired, Change
from minipaas.model.observed import Instance, InstanceState, Observed
from minipaas.model.release import Release
from minipaas.model.route import RouteEntry
from minipaas.model.spec import AppSpec
from minipaas.model.steps import (
    FinishChange,
    ProveInstance,
    ProveRoutes,
    RevertChange,
    RunHook,
    Step,
    SwitchRelease,
)
from minipaas.model.stream import StreamEntry
from minipaas.plan.holders import blocked, share
from minipaas.plan.launches import fingerprints, hook_launch
from minipaas.plan.lifecycle import Event
from minipaas.plan.maintain import Todo, answerable, entries, fill, prepare, set_routes, streams
from minipaas.plan.slots import Slot, SlotState, slots, surplus
from minipaas.plan.sweep import sweep_surplus

MAX_ATTEMPTS = 3
"""So many deaths of one instance fail a rollout."""
MAX_SICK = 2
"""So many times may it fail its health check: once can be Podman's fault, which was away when it was asked."""


def rolling(desired: AppDesired, change: Change, target: Release, observed: Observed, now: float) -> Todo:
    """One round of a rollout that has not switched yet."""
    wanted = slots(target, observed)
    broken = _verdict(change, target, wanted, now)
    if broken is not None:
        return Todo([broken])
    services = target.spec.services
    ready = {service for service in services if _ready(service, wanted)}
    if len(ready) == len(services):
        return Todo(_proofs(target, wanted, observed) or _switch(change, target, wanted), look_at=change.deadline)
    rest = [release for release in (desired.serving, desired.good) if release is not None]
    hooks, mine = Todo(), []
    for service in target.spec.start_order():
        if service in ready or not ready.issuperset(services[service].depends_on):
            continue
        if _hook_pending(change, target, service):
            hooks.add(prepare(target, service, observed))
            hooks.slow.append(_hook(change, target, service))
        elif not services[service].pinned or ready.issuperset(_awaited(target.spec, ready)):
            mine += [slot for slot in wanted if slot.service == service]
    todo = fill(target, wanted, observed, now, mine=mine, change=change.id, known=rest)
    todo.add(hooks)
    standing = slots(desired.serving, observed) if desired.serving is not None else ()
    if desired.serving is not None:
        # Both releases may start a container for one slot in one round: the target's has the next name.
        named = {(step.launch.service, step.launch.slot) for step in todo.starts}
        later = [replace(one, generation=one.generation + ((one.service, one.number) in named)) for one in standing]
        todo.add(_keep_serving(desired.serving, later, change, target, wanted, mine, observed, now))
        routes = entries(desired.serving, standing, without=todo.leaving)
        closed = {port.stream for name in {slot.service for slot in mine} | ready for port in services[name].published}
        open_ = streams(desired.serving, standing, without=todo.leaving, closed=closed)
        todo.quick[:0] = set_routes(target.app, routes, open_, observed)
    way_back = slots(desired.good, observed) if desired.good is not None else ()
    left = surplus(target.app, (*wanted, *standing, *way_back), observed)
    # What earlier changes left behind goes now: changes that come faster than they end must not pile up.
    todo.slow += sweep_surplus(target, [one for one in left if one.id not in todo.leaving])
    todo.later(change.deadline)
    return todo


def _switch(change: Change, target: Release, wanted: Sequence[Slot]) -> list[Step]:
    routes, open_ = entries(target, wanted), streams(target, wanted)
    switch = SwitchRelease(
        app=target.app,
        change=change.id,
        release=target.digest,
        version=target.version,
        entries=routes,
        streams=open_,
    )
    return [switch, _prove_routes(target, routes, open_)]


def _prove_routes(
    target: Release, routes: tuple[RouteEntry, ...], open_: tuple[StreamEntry, ...], *, confirms: bool = False
) -> ProveRoutes:
    return ProveRoutes(
        app=target.app,
        entries=answerable(target, routes),
        streams=answerable(target, open_),
        confirms=confirms,
    )


def confirming(desired: AppDesired, change: Change, target: Release, observed: Observed, now: float) -> Todo:
    """One round of the watch after the switch: any failure of the target goes back."""
    wanted = slots(target, observed)
    for slot in wanted:
        if slot.state in (SlotState.DEAD, SlotState.SICK):
            return Todo([_revert(change, slot, "after the switch")])
    known = [desired.good] if desired.good is not None else []
    todo = fill(target, wanted, observed, now, change=change.id, known=known)
    routes, open_ = entries(target, wanted), streams(target, wanted)
    todo.quick[:0] = set_routes(target.app, routes, open_, observed)
    confirm = float(target.spec.rollout.confirm)
    if not todo.idle or not all(slot.state is SlotState.READY for slot in wanted):
        if now >= change.deadline + confirm:
            reason = "the release was not ready again in time after the switch"
            return Todo([RevertChange(app=target.app, change=change.id, reason=reason)])
        todo.later(change.deadline + confirm)
        return todo
    until = (change.switched or now) + confirm
    if now < until:
        todo.later(until)
        return todo
    finish = FinishChange(app=target.app, change=change.id, event=Event.CONFIRMED.value)
    return Todo([_prove_routes(target, routes, open_, confirms=True), finish])


def _verdict(change: Change, target: Release, wanted: Sequence[Slot], now: float) -> RevertChange | None:
    """Why this rollout has failed, if it has."""
    for slot in wanted:
        instance = slot.instance
        if instance is None or instance.change != change.id:
            continue
        most = MAX_SICK if slot.state is SlotState.SICK else MAX_ATTEMPTS
        if slot.state in (SlotState.SICK, SlotState.DEAD) and instance.attempt + 1 >= most:
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


def _awaited(spec: AppSpec, ready: Collection[str]) -> set[str]:
    """The services that a pinned one waits for: those that are not pinned and can become ready while every pinned one
    that is not ready is away."""
    away = {name for name, one in spec.services.items() if one.pinned and name not in ready}
    for name in spec.start_order():
        if away.intersection(spec.services[name].depends_on):
            away.add(name)
    return set(spec.services) - away


def _hook_pending(change: Change, target: Release, service: str) -> bool:
    return target.spec.services[service].hooks.release is not None and service not in change.hooks_done


def _hook(change: Change, target: Release, service: str) -> RunHook:
    spec = target.spec.services[service]
    return RunHook(
        app=target.app,
        service=service,
        change=change.id,
        launch=hook_launch(target, service, change.id),
        timeout=float(spec.hooks.timeout),
    )


def _keep_serving(
    serving: Release,
    standing: Sequence[Slot],
    change: Change,
    target: Release,
    wanted: Sequence[Slot],
    mine: Sequence[Slot],
    observed: Observed,
    now: float,
) -> Todo:
    """The old release is looked after while the new one comes up: who dies is replaced. What both releases have is the
    target's as soon as it brings it up (`mine`), and so is a pinned service as soon as the target has taken its volume
    or port."""
    prints = fingerprints(target)
    handled = {(slot.service, prints[slot.service]) for slot in mine}
    taken = {slot.service for slot in mine if blocked(target.spec.services[slot.service])}
    taken |= {slot.service for slot in wanted if slot.instance is not None and slot.instance.change == change.id}
    old = fingerprints(serving)
    kept = [
        slot
        for slot in standing
        if (slot.service, old[slot.service]) not in handled and not _superseded(serving, slot.service, target, taken)
    ]
    return fill(serving, standing, observed, now, mine=kept, known=[target])


def _superseded(serving: Release, service: str, target: Release, taken: Iterable[str]) -> bool:
    """Whether a pinned service of the old release has given way to one of the target."""
    spec = serving.spec.services[service]
    new = target.spec.services
    return spec.pinned and any((new[name].pinned and name == service) or share(new[name], spec) for name in taken)


def _proofs(target: Release, wanted: Iterable[Slot], observed: Observed) -> list[Step]:
    """A request, and connections, through the ingress to every routed instance that has not answered yet."""
    steps: list[Step] = []
    for slot in wanted:
        spec = target.spec.services[slot.service]
        instance = slot.instance
        if instance is None or instance.backend is None or instance.id in observed.proven:
            continue
        tcp = {mouth.inside for mouth in spec.streams if mouth.stream.protocol == "tcp"}
        if not spec.routes and not tcp:
            continue
        host, path = "", ""
        if spec.routes:
            route = spec.parsed_routes[0]
            host = route.host.replace("*.", "www.") if route.host != "*" else "localhost"
            path = spec.health.http if spec.health is not None and spec.health.http else route.prefix
        steps.append(
            ProveInstance(
                app=target.app,
                service=slot.service,
                slot=slot.number,
                backend=instance.backend,
                host=host,
                path=path,
                tcp=tuple(instance.inside[port] for port in sorted(tcp) if port in instance.inside),
            )
        )
    return steps

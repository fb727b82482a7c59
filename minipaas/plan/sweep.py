"""Take away what no slot holds: routes are already elsewhere, so drain, stop, remove."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from minipaas.model.observed import Hook, Instance, InstanceState
from minipaas.model.release import Release
from minipaas.model.steps import Drain, RemoveInstance, Step, StopInstance
from minipaas.plan.launches import fingerprints

REPLACED = "replaced"
REMOVED = "the app is removed"
FEWER = "fewer are wanted"
DEFAULT_STOP = 10.0
_LIVE = (InstanceState.RUNNING, InstanceState.STOPPING)


def sweep(
    app: str, instances: Collection[Instance], *, why: str, drain: float, stop: dict[str, float], force: bool = False
) -> list[Step]:
    """Steps that end these instances. `drain` and `stop` (by service) in seconds. What is paused or unknown is left
    alone, unless by `force`."""
    steps = drains(app, instances, drain)
    steps.extend(
        StopInstance(
            app=app,
            service=one.service,
            slot=one.slot,
            instance=one.id,
            why=why,
            timeout=stop.get(one.service, DEFAULT_STOP),
        )
        for one in instances
        if one.state in _LIVE
    )
    steps.extend(
        RemoveInstance(app=app, service=one.service, slot=one.slot, instance=one.id, name=one.name)
        for one in instances
        if force or one.state is not InstanceState.UNKNOWN
    )
    return steps


def sweep_surplus(release: Release, surplus: Iterable[Instance]) -> list[Step]:
    """Steps that end what fills no slot of this release: what it has replaced, and what it had more of."""
    prints = fingerprints(release)
    more: list[Instance] = []
    other: list[Instance] = []
    for one in surplus:
        scaled = one.fingerprint == prints.get(one.service) and one.slot > release.spec.services[one.service].replicas
        (more if scaled else other).append(one)
    drain = float(release.spec.rollout.drain)
    stop = {name: float(service.stop) for name, service in release.spec.services.items()}
    return [
        step
        for instances, why in ((other, REPLACED), (more, FEWER))
        for step in sweep(release.app, instances, why=why, drain=drain, stop=stop)
    ]


def drains(app: str, instances: Iterable[Instance], timeout: float) -> list[Step]:
    """Wait for the requests that are under way on these instances, at most `timeout` seconds a service."""
    answering: dict[str, list[str]] = {}
    for one in instances:
        if one.state is InstanceState.RUNNING and one.backend is not None:
            answering.setdefault(one.service, []).append(one.id)
    return [
        Drain(app=app, service=service, instances=tuple(sorted(ids)), timeout=timeout)
        for service, ids in sorted(answering.items())
    ]


def end_hooks(app: str, hooks: Iterable[Hook]) -> list[Step]:
    """Steps that end these hooks' containers, running or not."""
    return [
        RemoveInstance(app=app, service=hook.service, slot=0, instance=hook.id, name=hook.name)
        for hook in hooks
        if hook.app == app
    ]

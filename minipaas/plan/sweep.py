"""Take away what no slot holds: routes are already elsewhere, so drain, stop, remove."""

from __future__ import annotations

from collections.abc import Iterable

from minipaas.model.observed import Instance, InstanceState
from minipaas.model.steps import Drain, RemoveInstance, Step, StopInstance

REPLACED = "replaced"
REMOVED = "the app is removed"
DEFAULT_STOP = 10.0


def sweep(app: str, instances: Iterable[Instance], *, why: str, drain: float, stop: dict[str, float]) -> list[Step]:
    """Steps that end these instances. `drain` and `stop` (by service) in seconds. Limbo is left for the next look."""
    steps: list[Step] = []
    running = [one for one in instances if one.state is InstanceState.RUNNING]
    for service in sorted({one.service for one in running if one.backend is not None}):
        ids = tuple(sorted(one.id for one in running if one.service == service))
        steps.append(Drain(app=app, service=service, instances=ids, timeout=drain))
    steps.extend(
        StopInstance(
            app=app,
            service=one.service,
            slot=one.slot,
            instance=one.id,
            why=why,
            timeout=stop.get(one.service, DEFAULT_STOP),
        )
        for one in running
    )
    steps.extend(
        RemoveInstance(app=app, service=one.service, slot=one.slot, instance=one.id, name=one.name)
        for one in instances
        if one.state in (InstanceState.RUNNING, InstanceState.EXITED, InstanceState.CREATED)
    )
    return steps

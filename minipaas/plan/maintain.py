"""Bring one release's slots to life and keep its routes true: what settled apps, rollouts and reverts share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from minipaas.model.launch import network_name, volume_name
from minipaas.model.observed import Observed
from minipaas.model.release import Release
from minipaas.model.route import Backend, RouteEntry
from minipaas.model.steps import (
    EnsureNetwork,
    EnsureVolume,
    PullImage,
    SetRoutes,
    StartInstance,
    Step,
    StopInstance,
    WakeInstance,
)
from minipaas.plan.launches import launch_for
from minipaas.plan.slots import UNHEALTHY, Slot, SlotState, backoff, next_attempt

LIMBO_LOOK = 1.0


class Todo(Struct):
    """Steps that are due now, and when to look again although nothing has happened by then."""

    steps: list[Step]
    look_at: float | None = None

    def later(self, when: float | None) -> None:
        """Look again at `when` at the latest. Unix seconds."""
        if when is not None:
            self.look_at = when if self.look_at is None else min(self.look_at, when)


def fill(release: Release, slots: Iterable[Slot], observed: Observed, now: float, *, since: float = 0.0) -> Todo:
    """What brings these slots to life. Failures of containers created before `since` are history, not a reason to wait.
    Network, volumes and images come first, and only if something is to be started."""
    todo = Todo([])
    for slot in slots:
        step, look_at = _fill_slot(release, slot, now, since)
        todo.later(look_at)
        if step is not None:
            todo.steps.append(step)
    services = dict.fromkeys(step.launch.service for step in todo.steps if isinstance(step, StartInstance))
    todo.steps[:0] = prepare(release, services, observed) if todo.steps else []
    return todo


def _fill_slot(release: Release, slot: Slot, now: float, since: float) -> tuple[Step | None, float | None]:
    """The step that a slot needs, or when to look again."""
    instance = slot.instance

    def start(attempt: int) -> Step:
        launch = launch_for(release, slot.service, slot=slot.number, generation=slot.generation + 1, attempt=attempt)
        return StartInstance(app=release.app, launch=launch)

    match slot.state:
        case SlotState.READY | SlotState.STARTING:
            return None, None
        case SlotState.LIMBO:
            return None, now + LIMBO_LOOK
        case SlotState.ABSENT:
            return start(0), None
        case SlotState.ASLEEP if instance is not None:
            return WakeInstance(app=release.app, service=slot.service, slot=slot.number, instance=instance.id), None
        case SlotState.SICK if instance is not None:
            return stop(release, slot, f"{UNHEALTHY}: {instance.health_detail}"), None
        case SlotState.DEAD if instance is not None:
            if instance.created < since:
                return start(0), None
            attempt = next_attempt(instance)
            finished = instance.finished or 0.0
            due = finished + backoff(attempt) if finished <= now else now
            return (start(attempt), None) if due <= now else (None, due)
        case _:
            raise AssertionError(f"slot {slot.service} #{slot.number} is {slot.state} without an instance")


def stop(release: Release, slot: Slot, why: str) -> StopInstance:
    """Stop what fills a slot; its container stays."""
    assert slot.instance is not None  # noqa: S101 - an invariant of the caller
    return StopInstance(
        app=release.app,
        service=slot.service,
        slot=slot.number,
        instance=slot.instance.id,
        why=why,
        timeout=float(release.spec.services[slot.service].stop),
    )


def prepare(release: Release, services: Iterable[str], observed: Observed) -> list[Step]:
    """Network, volumes and images that these services still lack."""
    steps: list[Step] = []
    if network_name(release.app) not in observed.networks:
        steps.append(EnsureNetwork(app=release.app))
    pulled = set(observed.images)
    for service in services:
        for volume in release.spec.services[service].volumes:
            name = volume_name(release.app, volume)
            if name not in observed.volumes:
                steps.append(EnsureVolume(app=release.app, volume=name))
        image = release.images[service]
        if image.config not in pulled:
            pulled.add(image.config)
            steps.append(PullImage(app=release.app, service=service, image=image))
    return steps


def entries(release: Release, slots: Sequence[Slot]) -> tuple[RouteEntry, ...]:
    """The routes of a release with the instances that can answer now. A route stays when nobody can: it says 503."""
    backends: dict[str, list[Backend]] = {}
    for slot in slots:
        if slot.state is SlotState.READY and slot.instance is not None and slot.instance.backend is not None:
            backends.setdefault(slot.service, []).append(slot.instance.backend)
    return tuple(
        sorted(
            RouteEntry(route=route, app=release.app, service=service, backends=tuple(sorted(backends.get(service, ()))))
            for service, spec in release.spec.services.items()
            for route in spec.parsed_routes
        )
    )


def set_routes(app: str, wanted: tuple[RouteEntry, ...], observed: Observed) -> list[Step]:
    """A SetRoutes step, if the ingress has something else."""
    current = tuple(entry for entry in observed.routes if entry.app == app)
    return [] if current == wanted else [SetRoutes(app=app, entries=wanted)]

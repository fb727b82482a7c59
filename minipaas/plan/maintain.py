"""Bring one release's slots to life and keep its routes true: what settled apps, rollouts and reverts share.

What always holds: nothing starts beside a holder of its volume or host port; neither a holder nor a sick instance is
stopped for a successor whose image is not there; what can be started at once does not wait for what cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct, field

from minipaas.model.launch import network_name, volume_name
from minipaas.model.observed import Instance, Note, Observed
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
from minipaas.model.stream import Stream, StreamEntry
from minipaas.plan.holders import holders
from minipaas.plan.launches import launch_for
from minipaas.plan.slots import UNHEALTHY, Slot, SlotState, backoff, next_attempt, on_the_way
from minipaas.plan.sweep import DEFAULT_STOP, REPLACED, drains

Entry = TypeVar("Entry", RouteEntry, StreamEntry)
LIMBO_LOOK = 1.0
STOPPING = "it was being stopped"
"""The reason for stopping again what a stop has left behind half-way."""


class Todo(Struct):
    """Steps that are left, and when to look again although nothing has happened by then.

    `quick` steps can be done now and take moments; `slow` ones (pull, hook, drain, stop, remove) can be done now too,
    once the quick ones are done, and may take minutes; those `after` wait for the slow ones.
    """

    quick: list[Step] = field(default_factory=list)
    slow: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)
    look_at: float | None = None
    leaving: set[str] = field(default_factory=set)
    """Containers that the slow steps stop although they may be routed to: take them out first."""

    def later(self, when: float | None) -> None:
        """Look again at `when` at the latest. Unix seconds."""
        if when is not None:
            self.look_at = when if self.look_at is None else min(self.look_at, when)

    def add(self, other: Todo) -> None:
        """Do the other's steps too, those that both have once."""
        self.quick += [step for step in other.quick if step not in self.quick]
        self.slow += [step for step in other.slow if step not in self.slow]
        self.after += [step for step in other.after if step not in self.after]
        self.later(other.look_at)
        self.leaving |= other.leaving

    @property
    def starts(self) -> list[StartInstance]:
        """The containers that are to be created."""
        return [step for step in (*self.quick, *self.after) if isinstance(step, StartInstance)]

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.quick or self.slow or self.after)


def fill(
    release: Release,
    wanted: Sequence[Slot],
    observed: Observed,
    now: float,
    *,
    mine: Iterable[Slot] | None = None,
    change: int | None = None,
    known: Sequence[Release] = (),
) -> Todo:
    """What brings the slots `mine` (default: all) of a release to life; `wanted` are all its slots, `known` the other
    releases whose containers may be there. Within a change, failures from before it are history, not a reason to
    wait."""
    todo = Todo()
    coming: list[tuple[Slot, StartInstance | WakeInstance]] = []
    pulls: dict[str, Step] = {}
    for slot in wanted if mine is None else mine:
        step = _fill_slot(release, slot, observed, now, change, todo)
        if step is not None:
            coming.append((slot, step))
        if slot.state is SlotState.SICK or isinstance(step, StartInstance):
            pulls.update(_pull(release, slot.service, observed))
    able = [slot for slot, step in coming if isinstance(step, WakeInstance) or step.launch.image in observed.images]
    blockers = holders(release, wanted, able, observed, (release, *known))
    todo.leaving = {one.id for one in blockers}
    todo.slow += drains(release.app, blockers, float(release.spec.rollout.drain))
    todo.slow += [_make_way(release, one) for one in blockers]
    todo.slow += pulls.values()
    todo.quick += _prepare(release, [step for _, step in coming], observed)
    for slot, step in coming:
        pinned = release.spec.services[slot.service].pinned
        if slot in able:
            (todo.after if blockers and pinned else todo.quick).append(step)
        elif not pinned:  # a pinned one asks again, when its image is there, who is in its way
            todo.after.append(step)
    return todo


def _fill_slot(
    release: Release, slot: Slot, observed: Observed, now: float, change: int | None, todo: Todo
) -> StartInstance | WakeInstance | None:
    """The step that brings a slot to life, if one is due now; else `todo` learns what else is to be done or awaited."""
    instance = slot.instance
    match slot.state:
        case SlotState.READY | SlotState.STARTING:
            return None
        case SlotState.LIMBO:
            todo.later(now + LIMBO_LOOK)
            return None
        case SlotState.ABSENT:
            return _start(release, slot, 0, change)
        case SlotState.ASLEEP if instance is not None:
            return WakeInstance(
                app=release.app, service=slot.service, slot=slot.number, instance=instance.id, name=instance.name
            )
        case SlotState.ENDING if instance is not None:
            todo.slow.append(stop(release, slot, observed.notes.get(instance.id, Note()).stopped or STOPPING))
            return None
        case SlotState.SICK if instance is not None:
            if release.images[slot.service].config in observed.images:
                todo.slow.append(stop(release, slot, f"{UNHEALTHY}: {instance.health_detail}"))
            return None
        case SlotState.DEAD if instance is not None:
            if change is not None and instance.change != change:
                return _start(release, slot, 0, change)
            attempt = next_attempt(instance)
            finished = instance.finished or 0.0
            due = finished + backoff(attempt)
            if finished <= now < due:
                todo.later(due)
                return None
            return _start(release, slot, attempt, change)
        case _:
            raise AssertionError(f"slot {slot.service} #{slot.number} is {slot.state} without an instance")


def _start(release: Release, slot: Slot, attempt: int, change: int | None) -> StartInstance:
    launch = launch_for(
        release, slot.service, slot=slot.number, generation=slot.generation + 1, attempt=attempt, change=change or 0
    )
    return StartInstance(app=release.app, launch=launch)


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


def _make_way(release: Release, holder: Instance) -> StopInstance:
    spec = release.spec.services.get(holder.service)
    return StopInstance(
        app=release.app,
        service=holder.service,
        slot=holder.slot,
        instance=holder.id,
        why=REPLACED,
        timeout=float(spec.stop) if spec is not None else DEFAULT_STOP,
    )


def _prepare(release: Release, steps: Iterable[Step], observed: Observed) -> list[Step]:
    """Network and volumes that these steps still lack."""
    needed: list[Step] = []
    for step in steps:
        if network_name(release.app) not in observed.networks and not needed:
            needed.append(EnsureNetwork(app=release.app))
        if isinstance(step, StartInstance):
            needed += [
                volume for volume in ensure_volumes(release, step.launch.service, observed) if volume not in needed
            ]
    return needed


def ensure_volumes(release: Release, service: str, observed: Observed) -> list[Step]:
    """The volumes that a service still lacks."""
    names = [volume_name(release.app, name) for name in release.spec.services[service].volumes]
    return [EnsureVolume(app=release.app, volume=name) for name in names if name not in observed.volumes]


def _pull(release: Release, service: str, observed: Observed) -> dict[str, Step]:
    """By image id, the pull of a service's image if Podman lacks it."""
    image = release.images[service]
    if image.config in observed.images:
        return {}
    return {image.config: PullImage(app=release.app, service=service, image=image)}


def prepare(release: Release, service: str, observed: Observed) -> Todo:
    """What a container of this service needs before it can be created: network, volumes, image."""
    quick: list[Step] = []
    if network_name(release.app) not in observed.networks:
        quick.append(EnsureNetwork(app=release.app))
    quick += ensure_volumes(release, service, observed)
    return Todo(quick, list(_pull(release, service, observed).values()))


def entries(release: Release, slots: Iterable[Slot], *, without: Collection[str] = ()) -> tuple[RouteEntry, ...]:
    """The routes of a release with the instances that can answer now, but those `without`. A route stays when nobody
    can: its requests are held while somebody is on the way, as when a pinned service is replaced; else it says 503."""
    backends: dict[str, list[Backend]] = {}
    coming: set[str] = set()
    for slot in slots:
        one = slot.instance
        if slot.state is SlotState.READY and one is not None and one.backend is not None and one.id not in without:
            backends.setdefault(slot.service, []).append(one.backend)
        elif on_the_way(slot):
            coming.add(slot.service)
    return tuple(
        sorted(
            RouteEntry(
                route=route,
                app=release.app,
                service=service,
                backends=tuple(sorted(backends.get(service, ()))),
                options=spec.route_options,
                held=service in coming and service not in backends,
            )
            for service, spec in release.spec.services.items()
            for route in spec.parsed_routes
        )
    )


def streams(
    release: Release, slots: Iterable[Slot], *, without: Collection[str] = (), closed: Collection[Stream] = ()
) -> tuple[StreamEntry, ...]:
    """Its TCP and UDP ports likewise, but those that are to be `closed`."""
    slots = tuple(slots)
    coming = {slot.service for slot in slots if on_the_way(slot)}
    found = []
    for service, spec in release.spec.services.items():
        here = [slot.instance for slot in slots if slot.service == service and slot.state is SlotState.READY]
        for mouth in spec.streams:
            inside = [one.inside.get(mouth.inside) for one in here if one is not None and one.id not in without]
            backends = tuple(sorted(one for one in inside if one is not None))
            if mouth.stream in closed:
                continue
            found.append(
                StreamEntry(
                    stream=mouth.stream,
                    app=release.app,
                    service=service,
                    backends=backends,
                    idle=mouth.idle,
                    connections=mouth.connections,
                    held=service in coming and not backends,
                    local=mouth.local,
                )
            )
    return tuple(sorted(found))


def answerable(release: Release, routes: Iterable[Entry]) -> tuple[Entry, ...]:
    """The routes that somebody is to answer: not those of a service with no replicas."""
    return tuple(entry for entry in routes if release.spec.services[entry.service].replicas)


def set_routes(
    app: str, wanted: tuple[RouteEntry, ...], open_: tuple[StreamEntry, ...], observed: Observed
) -> list[Step]:
    """A SetRoutes step, if the ingress has something else."""
    if observed.routes_of(app) == wanted and observed.streams_of(app) == open_:
        return []
    return [SetRoutes(app=app, entries=wanted, streams=open_)]

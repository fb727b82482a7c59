"""Slots: the places that a release's instances fill, and what is in each now.

A slot's state comes from its newest container of the right fingerprint; what each state asks for is in `maintain`.
Containers that fill no slot are surplus; surplus that failed is a scene and is kept within a quota.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from minipaas.model.observed import Instance, InstanceState, Note, Observed
from minipaas.model.release import Release
from minipaas.plan.launches import Place, places

GOOD_RUN = 60.0
"""Seconds after which an instance that dies counts as a first failure again."""
MAX_BACKOFF = 60.0
SOON = 10.0
"""Nobody is kept waiting for an instance that has failed so often that its next start is further away than this."""
KEPT_SCENES = 3
"""Failed containers of a service that stay for whoever wants to know why."""

UNHEALTHY = "failed its health check"
"""The one reason for stopping an instance that counts as its failure."""


class SlotState(StrEnum):
    """What stands in a slot."""

    ABSENT = "absent"
    ASLEEP = "asleep"
    """Stopped by us or by a reboot, or never started: it can be woken as it is."""
    DEAD = "dead"
    STARTING = "starting"
    SICK = "sick"
    READY = "ready"
    ENDING = "ending"
    """Being stopped. A container that its stop has left behind half-way is stopped again."""
    LIMBO = "limbo"
    """Paused or unknown: look again later."""


class Slot(Struct, frozen=True, kw_only=True):
    """One place of one service."""

    service: str
    number: int
    state: SlotState
    instance: Instance | None
    """The newest that fits."""
    generation: int
    """The highest ever seen here, whatever its fingerprint."""


def failed(instance: Instance, notes: dict[str, Note]) -> bool:
    """Whether this dead container is a failure, and so a scene worth keeping."""
    if instance.state is not InstanceState.EXITED:
        return False
    note = notes.get(instance.id)
    return note is None or not note.stopped or note.stopped.startswith(UNHEALTHY)


def backoff(attempt: int) -> float:
    """Seconds to wait before the given attempt: at once, then 1, 2, 4 … 60."""
    return 0.0 if attempt <= 1 else min(MAX_BACKOFF, 2.0 ** (attempt - 2))


def next_attempt(instance: Instance) -> int:
    """The attempt number of whoever replaces this dead instance."""
    ran = (instance.finished or 0.0) - (instance.started or instance.finished or 0.0)
    return 1 if ran >= GOOD_RUN else instance.attempt + 1


def slots(release: Release, observed: Observed) -> tuple[Slot, ...]:
    """Every slot of a release, services in start order."""
    here: dict[tuple[str, int], list[Instance]] = {}
    for one in observed.of(release.app):
        here.setdefault((one.service, one.slot), []).append(one)
    return tuple(_slot(place, here.get((place.service, place.slot), ()), observed) for place in places(release))


def _slot(place: Place, here: Sequence[Instance], observed: Observed) -> Slot:
    fitting = [one for one in here if one.fingerprint == place.fingerprint]
    newest = max(fitting, key=lambda one: (one.running, one.generation), default=None)
    return Slot(
        service=place.service,
        number=place.slot,
        state=_state(newest, observed),
        instance=newest,
        generation=max((one.generation for one in here), default=0),
    )


def _state(newest: Instance | None, observed: Observed) -> SlotState:
    if newest is None:
        return SlotState.ABSENT
    if newest.state is InstanceState.RUNNING:
        if newest.healthy:
            return SlotState.READY
        return SlotState.SICK if newest.health == "unhealthy" else SlotState.STARTING
    if newest.state is InstanceState.CREATED:
        return SlotState.ASLEEP
    if newest.state is InstanceState.EXITED:
        note = observed.notes.get(newest.id, Note())
        rebooted = bool(note.boot) and note.boot != observed.boot
        return SlotState.ASLEEP if rebooted or not failed(newest, observed.notes) else SlotState.DEAD
    return SlotState.ENDING if newest.state is InstanceState.STOPPING else SlotState.LIMBO


def on_the_way(slot: Slot) -> bool:
    """Whether an instance here can be expected soon: one that is started, woken, replaced or brought back, but not one
    that keeps failing."""
    one = slot.instance
    match slot.state:
        case SlotState.LIMBO:
            return False
        case SlotState.DEAD if one is not None:
            return backoff(next_attempt(one)) <= SOON
        case SlotState.STARTING | SlotState.SICK if one is not None:
            return backoff(one.attempt) <= SOON
        case _:
            return True


def surplus(app: str, wanted: Iterable[Slot], observed: Observed) -> tuple[Instance, ...]:
    """Containers of the app that fill no slot, without the scenes that are still within the quota."""
    kept = {slot.instance.id for slot in wanted if slot.instance is not None}
    scenes: dict[str, list[Instance]] = {}
    rest: list[Instance] = []
    for instance in observed.of(app):
        if instance.id in kept:
            continue
        if failed(instance, observed.notes):
            scenes.setdefault(instance.service, []).append(instance)
        else:
            rest.append(instance)
    for dead in scenes.values():
        dead.sort(key=lambda one: (one.created, one.generation))
        rest.extend(dead[:-KEPT_SCENES])
    return tuple(sorted(rest, key=lambda one: one.name))

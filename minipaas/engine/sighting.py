"""Podman's lists as minipaas's words. Pure: what is asked and when is the engine's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from minipaas.engine import body as labels
from minipaas.engine.shapes import InspectedContainer, ListedContainer, PortMapping
from minipaas.model.observed import Hook, Instance, InstanceState
from minipaas.model.route import Backend

_STATES = {
    "configured": InstanceState.CREATED,
    "created": InstanceState.CREATED,
    "initialized": InstanceState.CREATED,
    "running": InstanceState.RUNNING,
    "stopping": InstanceState.STOPPING,
    "stopped": InstanceState.EXITED,
    "exited": InstanceState.EXITED,
}


class Sighting(Struct, frozen=True, kw_only=True):
    """One look at Podman: only what belongs to this box, but all images."""

    instances: tuple[Instance, ...] = ()
    hooks: tuple[Hook, ...] = ()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    """Image ids, `sha256:<hex>`."""


class Ending(Struct, frozen=True):
    """How a container ended; does not change any more until it is started again."""

    exit_code: int
    oom_killed: bool
    finished: float | None


def to_instance(listed: ListedContainer, ending: Ending | None = None) -> Instance | None:
    """A listed container as an Instance; None for hooks and for what does not carry our labels. Health is not known
    here."""
    marks = listed.labels or {}
    if marks.get(labels.KIND) != labels.INSTANCE:
        return None
    try:
        slot, generation, attempt = (int(marks[key]) for key in (labels.SLOT, labels.GENERATION, labels.ATTEMPT))
        app, service, release = marks[labels.APP], marks[labels.SERVICE], marks[labels.RELEASE]
        port = int(marks[labels.PORT]) if labels.PORT in marks else None
        change = int(marks.get(labels.CHANGE, "0"))
    except (KeyError, ValueError):
        return None
    state = _STATES.get(listed.state, InstanceState.UNKNOWN)
    ended = state is InstanceState.EXITED
    inside = _inside(listed.id, listed.ports or ())
    ending = ending or Ending(listed.exit_code, False, _past(listed.exited_at))
    return Instance(
        id=listed.id,
        name=(listed.names or [listed.id])[0],
        app=app,
        service=service,
        release=release,
        fingerprint=marks.get(labels.FINGERPRINT, ""),
        slot=slot,
        generation=generation,
        attempt=attempt,
        change=change,
        state=state,
        created=parse_time(listed.created) or 0.0,
        started=_past(listed.started),
        finished=ending.finished if ended else None,
        exit_code=ending.exit_code if ended else None,
        oom_killed=ended and ending.oom_killed,
        backend=inside.get(f"{port}/tcp"),
        inside=inside,
    )


def to_hook(listed: ListedContainer) -> Hook | None:
    """A listed container as a Hook; None for everything else."""
    marks = listed.labels or {}
    if marks.get(labels.KIND) != labels.HOOK:
        return None
    try:
        app, service, change = marks[labels.APP], marks[labels.SERVICE], int(marks.get(labels.CHANGE, "0"))
    except (KeyError, ValueError):
        return None
    return Hook(id=listed.id, name=(listed.names or [listed.id])[0], app=app, service=service, change=change)


def to_ending(inspected: InspectedContainer) -> Ending:
    """How an inspected container ended."""
    state = inspected.state
    return Ending(state.exit_code, state.oom_killed, parse_time(state.finished))


def parse_time(text: str) -> float | None:
    """Go's RFC 3339 with nanoseconds as Unix seconds; None for Go's zero time and for nonsense."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.year > 1970 else None


def by_id(instances: Iterable[Instance]) -> Mapping[str, Instance]:
    return {instance.id: instance for instance in instances}


def _past(seconds: int) -> float | None:
    return float(seconds) if seconds > 0 else None


def _inside(instance: str, ports: Iterable[PortMapping]) -> dict[str, Backend]:
    """By port inside, like `1883/tcp`, where it can be reached: what is published on loopback."""
    found: dict[str, Backend] = {}
    for mapping in ports:
        if mapping.host_ip in (labels.LOOPBACK, "localhost") and mapping.host_port:
            for offset in range(min(max(1, mapping.range), 65536)):
                key = f"{mapping.container_port + offset}/{mapping.protocol}"
                found.setdefault(key, Backend(instance, labels.LOOPBACK, mapping.host_port + offset))
    return found

"""Who stands in the way of a pinned service: two containers must never write one volume, nor want one host port.

What always holds: whoever is not known to be harmless counts as a holder. So a service may be renamed, a volume or a
port may move from one service to another, and what a superseded change has left behind cannot get in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minipaas.model.observed import Instance, InstanceState, Observed
from minipaas.model.release import Release
from minipaas.model.spec import ServiceSpec
from minipaas.plan.launches import fingerprints
from minipaas.plan.slots import Slot, SlotState

LIVE = (InstanceState.RUNNING, InstanceState.STOPPING)
_COMES = (SlotState.ABSENT, SlotState.ASLEEP, SlotState.DEAD)
"""States from which a slot's next container is started or woken."""


def holders(
    release: Release, wanted: Sequence[Slot], coming: Iterable[Slot], observed: Observed, known: Iterable[Release]
) -> tuple[Instance, ...]:
    """Live containers that have to be stopped before these pinned slots may come to life. `wanted` are all slots of the
    release, whose containers stay; `known` are the releases whose containers may be told apart."""
    services = release.spec.services
    arriving = {slot.service for slot in coming if slot.state in _COMES and blocked(services[slot.service])}
    if not arriving:
        return ()
    kinds = {
        (service, fingerprint): one.spec.services[service]
        for one in known
        for service, fingerprint in fingerprints(one).items()
    }
    filling = {slot.instance.id for slot in wanted if slot.instance is not None}
    return tuple(
        one
        for one in observed.of(release.app)
        if one.state in LIVE
        and one.id not in filling
        and any(_in_the_way(one, kinds.get((one.service, one.fingerprint)), service, release) for service in arriving)
    )


def _in_the_way(one: Instance, kind: ServiceSpec | None, service: str, release: Release) -> bool:
    spec = release.spec.services[service]
    if not spec.pinned:
        return kind is None or _publishes(kind, spec)
    return one.service == service or kind is None or share(kind, spec)


def blocked(spec: ServiceSpec) -> bool:
    """Whether others may be in its way: it holds a volume or a host port, or the ingress is to open a port for it that
    a container may have published."""
    return spec.pinned or bool(spec.streams)


def _publishes(one: ServiceSpec, other: ServiceSpec) -> bool:
    return not {port.stream for port in one.published}.isdisjoint(mouth.stream for mouth in other.streams)


def share(one: ServiceSpec, other: ServiceSpec) -> bool:
    """Whether two services cannot run at once: a volume or a host port of one is also the other's; a port that the
    ingress is to open counts, too."""
    ports = (
        _publishes(one, other)
        or _publishes(other, one)
        or any(mine.clashes(theirs) for mine in one.published for theirs in other.published)
    )
    return ports or not set(one.volumes).isdisjoint(other.volumes)

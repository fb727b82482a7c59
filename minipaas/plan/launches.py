"""From a service of a release to the container it needs. The one place that compares specs: by fingerprint.

Two launches with one fingerprint run the same image with the same settings, so a release that leaves a service as it
was leaves its instances running.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from msgspec.structs import replace

from minipaas.model.launch import Launch, volume_name
from minipaas.model.release import Release
from minipaas.model.typed import to_json

HARDENING = 1
"""Raised when the way containers are made changes, so that the next deploy replaces them."""


_REMEMBERED = 1024
"""Releases whose places are kept in memory; a box with more works them out again."""


class Place(NamedTuple):
    """Where one instance belongs, and what it must carry to fit."""

    service: str
    slot: int
    fingerprint: str


_places: dict[int, tuple[Release, tuple[Place, ...]]] = {}
"""By the release's id(), which is its own as long as it is held here: one digest may be run in two ways."""


def launch_for(
    release: Release, service: str, *, slot: int = 1, generation: int = 1, attempt: int = 0, change: int = 0
) -> Launch:
    """The launch of one instance. Pure: equal arguments give an equal launch."""
    spec = release.spec.services[service]
    base = Launch(
        name="",
        app=release.app,
        service=service,
        release="",
        slot=0,
        generation=0,
        attempt=0,
        fingerprint="",
        image=release.images[service].config,
        entrypoint=spec.entrypoint,
        command=spec.command,
        env=spec.env,
        port=spec.main_port,
        published=(*spec.published, *spec.inside),
        volumes={volume_name(release.app, name): path for name, path in spec.volumes.items()},
        memory=int(spec.memory) if spec.memory is not None else None,
        cpus=spec.cpus,
        pids=spec.pids,
        read_only=spec.read_only,
        capabilities=spec.capabilities,
        user=spec.user,
        workdir=spec.workdir,
        stop=float(spec.stop),
    )
    return replace(
        base,
        name=f"minipaas-{release.app}-{service}-{slot}-{generation}",
        release=release.digest,
        slot=slot,
        generation=generation,
        attempt=attempt,
        change=change,
        fingerprint=hashlib.sha256(to_json(_kind(release, service, base))).hexdigest()[:16],
    )


def _kind(release: Release, service: str, base: Launch) -> tuple[object, ...]:
    """What makes instances interchangeable. Those from before a restart are not those from after it."""
    tuning = release.tuning.get(service)
    restarted = (tuning.restarted,) if tuning is not None and tuning.restarted else ()
    return (HARDENING, base, *restarted)


def hook_launch(release: Release, service: str, change: int) -> Launch:
    """The service's own container, but it runs the release hook and publishes nothing."""
    command = release.spec.services[service].hooks.release
    launch = launch_for(release, service, change=change)
    return replace(launch, entrypoint=(), command=command, port=None, published=())


def places(release: Release) -> tuple[Place, ...]:
    """Every place that instances of this release fill, services in start order. Worked out once a release: every round
    asks for it."""
    known = _places.get(id(release))
    if known is not None:
        return known[1]
    found = []
    for service in release.spec.start_order():
        fingerprint = launch_for(release, service).fingerprint
        found += [Place(service, slot, fingerprint) for slot in range(1, release.spec.services[service].replicas + 1)]
    if len(_places) >= _REMEMBERED:
        _places.clear()
    _places[id(release)] = (release, tuple(found))
    return tuple(found)


def fingerprints(release: Release) -> dict[str, str]:
    """By service that has a place: what its instances must carry to count as instances of this release."""
    return {place.service: place.fingerprint for place in places(release)}

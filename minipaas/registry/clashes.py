"""Clashes: two apps can't have the same route or the same port of this host, nor two releases the same digest. What
counts of an app is every release that may answer: serving, good, and the target of its active change. An app that is
being removed does not count."""

from __future__ import annotations

from collections.abc import Iterator

from minipaas.model.change import ChangeKind, Desired
from minipaas.model.errors import Conflict
from minipaas.model.release import Release
from minipaas.model.route import Route
from minipaas.model.spec import Published
from minipaas.model.stream import Stream


def refuse_clashes(wanted: Release, desired: Desired) -> None:
    """Raises Conflict(route.taken) or Conflict(port.taken), naming the other app."""
    routes = {route: service for service, route in _routes(wanted)}
    ports = list(_ports(wanted))
    for other in desired.apps:
        if other.app == wanted.app or (other.change is not None and other.change.kind is ChangeKind.REMOVE):
            continue
        for release in (other.serving, other.good, other.target):
            if release is None:
                continue
            for service, route in _routes(release):
                if route in routes:
                    raise Conflict(
                        f"cannot run {wanted.app} {wanted.version}: its route {route} belongs to {other.app} "
                        f"({service}, {release.version})",
                        hint=f"choose another route, or remove the other app: minipaas remove {other.app}",
                        code="route.taken",
                    )
            for service, port in _ports(release):
                for mine, wanted_port in ports:
                    if _clash(wanted_port, port):
                        raise Conflict(
                            f"cannot run {wanted.app} {wanted.version}: port {wanted_port} of {mine} belongs to "
                            f"{other.app} ({service}, {release.version})",
                            hint=f"choose another port, or remove the other app: minipaas remove {other.app}",
                            code="port.taken",
                        )


def _routes(release: Release) -> Iterator[tuple[str, Route]]:
    for name, service in release.spec.services.items():
        for route in service.parsed_routes:
            yield name, route


def _ports(release: Release) -> Iterator[tuple[str, Published | Stream]]:
    """What is open on this host: by Podman, past the ingress, and by the ingress."""
    for name, service in release.spec.services.items():
        for port in service.published:
            yield name, port
        for mouth in service.streams:
            yield name, mouth.stream


def _clash(one: Published | Stream, other: Published | Stream) -> bool:
    if isinstance(one, Published) and isinstance(other, Published):
        return one.clashes(other)
    mine, theirs = (port.stream if isinstance(port, Published) else port for port in (one, other))
    return mine == theirs

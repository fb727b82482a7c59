"""Clashes: two apps can't have the same route or the same host port, nor two releases the same digest. What counts of
an app is every release that may answer: serving, good, and the target of its active change. An app that is being
removed does not count."""

from __future__ import annotations

from collections.abc import Iterator

from minipaas.model.change import ChangeKind, Desired
from minipaas.model.errors import Conflict
from minipaas.model.release import Release
from minipaas.model.route import Route
from minipaas.model.spec import Published


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
                    if wanted_port.clashes(port):
                        raise Conflict(
                            f"cannot run {wanted.app} {wanted.version}: host port {wanted_port} of {mine} is published "
                            f"by {other.app} ({service}, {release.version})",
                            hint=f"choose another port, or remove the other app: minipaas remove {other.app}",
                            code="port.taken",
                        )


def _routes(release: Release) -> Iterator[tuple[str, Route]]:
    for name, service in release.spec.services.items():
        for route in service.parsed_routes:
            yield name, route


def _ports(release: Release) -> Iterator[tuple[str, Published]]:
    for name, service in release.spec.services.items():
        for port in service.published:
            yield name, port

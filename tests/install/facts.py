"""Facts about a host on which all is well, to be spoilt by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minipaas.install.facts import (
    BoxFacts,
    Facts,
    Network,
    PodmanHost,
    PodmanInfo,
    PodmanStore,
    PodmanVersion,
    Runtime,
    Security,
    Subnet,
)
from minipaas.install.places import Places
from minipaas.install.service import Init


def podman(version: str = "4.9.3", driver: str = "overlay", root: str = "/", **host: Any) -> PodmanInfo:
    plain: dict[str, Any] = {
        "cgroup_version": "v2",
        "cgroup_controllers": ("cpu", "memory", "pids"),
        "network_backend": "netavark",
        "oci_runtime": Runtime("crun", "/bin/sh"),
        "security": Security(),
    }
    return PodmanInfo(PodmanHost(**plain | host), PodmanStore(driver, root), PodmanVersion(version))


def network(subnet: str, name: str = "minipaas-x-shop", interface: str = "podman9") -> Network:
    return Network(name, interface, (Subnet(subnet),))


def box(**given: Any) -> BoxFacts:
    plain: dict[str, Any] = {
        "id": "b",
        "version": "1.0",
        "trouble": "",
        "ingress": ("0.0.0.0:80",),
        "api": ("127.0.0.1:7070",),
        "apps": 2,
        "healthy": 3,
        "instances": 3,
        "root_version": 1,
        "floor": 0,
        "certificates": None,
        "certificate_troubles": (),
    }
    return BoxFacts(**plain | given)


def facts(home: Path, **given: Any) -> Facts:
    """`home`: everything that is installed lies below it."""
    plain: dict[str, Any] = {
        "places": Places.below(home),
        "init": Init.SYSTEMD,
        "socket": "/run/podman/podman.sock",
        "podman": podman(),
        "synced": True,
    }
    return Facts(**plain | given)

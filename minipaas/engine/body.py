"""A Launch in Podman's words: the SpecGenerator body of `POST containers/create`. Pure.

What always holds: every capability is dropped but those asked for, no new privileges, scratch at /tmp and /var/tmp
lies in per-instance directories (so that it stays with the scene when the container dies) and is mounted nosuid and
nodev, services are reached only through ports published on this host, and Podman never restarts anything by itself.

An init (catatonit) runs as process 1 where it exists: it reaps zombies and passes signals on, and a service that
installs no handler for SIGTERM ends on it at once, which as process 1 it would not. Images that bring an init which
insists on being process 1 (s6-overlay, systemd, runit) run without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from minipaas.engine import limits
from minipaas.engine.info import EngineInfo
from minipaas.engine.networks import podman_network
from minipaas.model.launch import Launch

BOX = "io.minipaas.box"
APP = "io.minipaas.app"
SERVICE = "io.minipaas.service"
RELEASE = "io.minipaas.release"
FINGERPRINT = "io.minipaas.fingerprint"
SLOT = "io.minipaas.slot"
GENERATION = "io.minipaas.generation"
ATTEMPT = "io.minipaas.attempt"
CHANGE = "io.minipaas.change"
KIND = "io.minipaas.kind"
PORT = "io.minipaas.port"
INSTANCE = "instance"
HOOK = "hook"

LOOPBACK = "127.0.0.1"
SCRATCH = {"/tmp": "tmp", "/var/tmp": "var-tmp"}  # noqa: S108
_PROCESS_ONE = frozenset({"init", "s6-svscan", "systemd", "runit", "runit-init", "my_init"})
_PERIOD = 100_000
"""Microseconds; the CFS default."""


def create_body(
    launch: Launch, *, box: str, info: EngineInfo, scratch: Path, init: bool, kind: str = INSTANCE
) -> dict[str, Any]:
    """The body for one container. `scratch` holds its directories `tmp` and `var-tmp`. A hook has no ports and no
    alias: nobody may take it for the service."""
    body: dict[str, Any] = {
        "name": launch.name,
        "image": launch.image,
        "hostname": launch.name[:63].rstrip("-") if kind == HOOK else f"{launch.service}-{launch.slot}",
        "labels": _labels(launch, box, kind),
        "env": dict(launch.env),
        "httpproxy": False,
        "cap_drop": ["all"],
        "cap_add": [capability.upper() for capability in launch.capabilities],
        "no_new_privileges": True,
        "read_only_filesystem": launch.read_only,
        # else Podman 5 makes /dev/shm read-only too; its scratch at /tmp, /var/tmp and /run gives way to ours
        "read_write_tmpfs": launch.read_only,
        "mounts": _mounts(launch, info, scratch),
        "volumes": _volumes(launch, info),
        "netns": {"nsmode": "bridge"},
        "Networks": {podman_network(box, launch.app): {"aliases": [launch.service] if kind == INSTANCE else []}},
        "portmappings": _ports(launch) if kind == INSTANCE else [],
        "resource_limits": _resources(launch, info),
        "r_limits": [
            {"type": "nofile", "soft": info.nofile, "hard": info.nofile},
            {"type": "nproc", "soft": info.nproc, "hard": info.nproc},
            {"type": "core", "soft": info.core, "hard": info.core},
        ],
        "log_configuration": {"driver": "k8s-file", "size": limits.LOG_SIZE},
        "restart_policy": "no",
        "stop_timeout": max(1, round(launch.stop)),
        "init": init,
    }
    if launch.entrypoint is not None:
        body["entrypoint"] = list(launch.entrypoint)
    if launch.command is not None:
        body["command"] = list(launch.command)
    if launch.user is not None:
        body["user"] = launch.user
    if launch.workdir is not None:
        body["work_dir"] = launch.workdir
    if info.userns_auto:
        body["userns"] = {"nsmode": "auto"}
        body["idmappings"] = {"HostUIDMapping": False, "HostGIDMapping": False, "AutoUserNs": True}
    return body


def insists_on_process_one(argv: Sequence[str]) -> bool:
    """Whether this command is an init of its own that must be process 1."""
    return bool(argv) and PurePosixPath(argv[0]).name in _PROCESS_ONE


def _labels(launch: Launch, box: str, kind: str) -> dict[str, str]:
    labels = {
        BOX: box,
        APP: launch.app,
        SERVICE: launch.service,
        RELEASE: launch.release,
        FINGERPRINT: launch.fingerprint,
        SLOT: str(launch.slot),
        GENERATION: str(launch.generation),
        ATTEMPT: str(launch.attempt),
        CHANGE: str(launch.change),
        KIND: kind,
    }
    if launch.port is not None and kind == INSTANCE:
        labels[PORT] = str(launch.port)
    return labels


def _mounts(launch: Launch, info: EngineInfo, scratch: Path) -> list[dict[str, Any]]:
    taken = {str(PurePosixPath(path)) for path in launch.volumes.values()}
    relabel = ["Z"] if info.selinux else []
    mounts: list[dict[str, Any]] = [
        {
            "type": "bind",
            "source": str(scratch / directory),
            "destination": path,
            "options": ["rw", "nosuid", "nodev", "rbind", *relabel],
        }
        for path, directory in SCRATCH.items()
        if path not in taken
    ]
    if "/run" not in taken:
        # What the image has there is copied up (tmpcopyup is Podman's default), owners and modes included.
        options = ["rw", "nosuid", "nodev", f"size={limits.RUN_TMPFS}", "mode=755"]
        mounts.append({"type": "tmpfs", "source": "tmpfs", "destination": "/run", "options": options})
    return mounts


def _volumes(launch: Launch, info: EngineInfo) -> list[dict[str, Any]]:
    # With a user namespace of its own, each container sees a volume's owners shifted: U gives them back.
    owner = ["U"] if info.userns_auto else []
    return [
        {"Name": name, "Dest": path, "Options": ["rw", "nosuid", "nodev", *owner]}
        for name, path in launch.volumes.items()
    ]


def _ports(launch: Launch) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = [
        {
            "host_ip": port.address,
            # Without a host port Podman takes a free one when the container is created.
            **({"host_port": port.host} if port.host else {}),
            "container_port": port.container,
            "protocol": port.protocol,
        }
        for port in launch.published
    ]
    if launch.port is not None:
        ports.insert(0, {"host_ip": LOOPBACK, "container_port": launch.port, "protocol": "tcp"})
    return ports


def _resources(launch: Launch, info: EngineInfo) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if launch.memory is not None:
        # Swap included: a box that swaps is worse than an instance that is killed and restarted.
        resources["memory"] = {"limit": launch.memory, "swap": launch.memory}
    if launch.cpus is not None:
        resources["cpu"] = {"quota": max(1000, round(launch.cpus * _PERIOD)), "period": _PERIOD}
    if not info.controllers or "pids" in info.controllers:
        resources["pids"] = {"limit": launch.pids}
    return resources

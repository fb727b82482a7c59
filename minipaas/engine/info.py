"""What this Podman and this host can do; read once when connecting."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from msgspec import Struct

from minipaas.engine import limits
from minipaas.engine.shapes import SystemInfo
from minipaas.model.errors import EngineError

_INIT_PLACES = (
    "/usr/libexec/podman/catatonit",
    "/usr/lib/podman/catatonit",
    "/usr/local/libexec/podman/catatonit",
    "/usr/local/lib/podman/catatonit",
)
"""Where containers-common looks for the init that it binds into containers."""


class EngineInfo(Struct, frozen=True, kw_only=True):
    """Facts about the engine, for decisions and for people."""

    socket: str
    version: str
    rootless: bool
    runtime: str
    cgroup: str
    """`v1` or `v2`"""
    controllers: frozenset[str]
    """Which resources can be limited."""
    network_backend: str
    selinux: bool
    userns_auto: bool
    """Containers get user namespaces of their own."""
    init: bool
    """There is a catatonit to reap zombies."""
    boot: str
    """The kernel's boot id."""
    nofile: int
    """RLIMIT_NOFILE for containers: what we would like, clamped to our own hard limit."""
    nproc: int
    core: int = 0
    """RLIMIT_CORE for containers, bytes; 0: no core files."""
    graph_root: str
    """Podman's storage, whose disk fills up."""
    platform: str
    """`linux/amd64`"""


def require_version(version: str) -> None:
    """Raises EngineError for a Podman before 4.0: it answers, and means other things by the same words."""
    if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < 4:
        raise EngineError(
            f"cannot use Podman {version}: it does not speak the API of Podman 4",
            hint="install Podman 4.3 or newer, and name its socket: podman.socket in config.toml",
            code="engine.too_old",
        )


def read_info(socket: str, answer: SystemInfo) -> EngineInfo:
    """Combine Podman's `info` with what the host says."""
    host = answer.host
    return EngineInfo(
        socket=socket,
        version=answer.version.version,
        rootless=host.security.rootless,
        runtime=host.runtime.name,
        cgroup=host.cgroup_version,
        controllers=frozenset(host.cgroup_controllers or ()),
        network_backend=host.network_backend,
        selinux=host.security.selinux,
        userns_auto=not host.security.rootless and _has_container_ids(),
        init=find_init() is not None,
        boot=boot_id(),
        nofile=_clamp(resource.RLIMIT_NOFILE, limits.NOFILE),
        nproc=_clamp(resource.RLIMIT_NPROC, limits.NPROC),
        core=_clamp(resource.RLIMIT_CORE, limits.CORE),
        graph_root=answer.store.graph_root,
        platform=f"{host.os or 'linux'}/{host.arch or os.uname().machine}",
    )


def find_init() -> str | None:
    """Where the init for containers is."""
    return next((place for place in _INIT_PLACES if Path(place).exists()), None)


def boot_id() -> str:
    """The kernel's id of this boot; empty where /proc does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _clamp(which: int, wanted: int) -> int:
    """A host without CAP_SYS_RESOURCE refuses containers whose limits are above the process's own."""
    _, hard = resource.getrlimit(which)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _has_container_ids() -> bool:
    """`userns=auto` takes ranges from the `containers` lines (containers-storage.conf(5), root-auto-userns-user)."""
    for file in ("/etc/subuid", "/etc/subgid"):
        try:
            text = Path(file).read_text()
        except OSError:
            return False
        if not any(line.startswith("containers:") for line in text.splitlines()):
            return False
    return True

"""Checks of the host itself: kernel, memory, clock, disk, limits, ports, init system."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from minipaas.install import files
from minipaas.install.facts import Facts
from minipaas.install.findings import Finding, bad, ok, warn
from minipaas.install.mounts import REMOTE, VOLATILE, disk
from minipaas.install.service import Init
from minipaas.model.config import parse_listen
from minipaas.model.units import human_bytes

ARCHITECTURES = ("x86_64", "aarch64")
OLDEST_KERNEL = (4, 18)
OLDEST_ROOTLESS = (5, 11)
"""Overlay mounts without root."""
LITTLE_MEMORY = 256 * 1024**2
LITTLE_DISK = 1024**3
DESCRIPTORS = 65536
CAP_SYS_RESOURCE = 24
CONTAINERS_CONF = "/etc/containers/containers.conf"


def kernel(facts: Facts) -> Finding:
    """Linux, new enough, on an architecture that is built for."""
    host = os.uname()
    numbers = kernel_version()
    says = f"{host.sysname} {host.release} on {host.machine}"
    if host.sysname != "Linux" or numbers < OLDEST_KERNEL:
        return bad("kernel", f"{says}: Podman needs Linux 4.18", "upgrade this host")
    if host.machine not in ARCHITECTURES:
        return warn("kernel", f"{says}: minipaas is built for {' and '.join(ARCHITECTURES)}", "run it from its sources")
    if facts.unprivileged and numbers < OLDEST_ROOTLESS:
        return warn("kernel", f"{says}: without root, storage is slow before Linux 5.11", "run it as root, or upgrade")
    return ok("kernel", says)


def kernel_version() -> tuple[int, ...]:
    """Its first two numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def memory(facts: Facts) -> Finding:
    """There is room for a box and an app."""
    told = {
        name: int(value.split()[0]) * 1024
        for name, _, value in (line.partition(":") for line in files.read(Path("/proc/meminfo")).splitlines())
        if value.strip()
    }
    total, free = told.get("MemTotal", 0), told.get("MemAvailable", 0)
    says = f"{human_bytes(free)} of {human_bytes(total)} available"
    if free < LITTLE_MEMORY:
        return warn("memory", says, "stop what is not needed, or add swap; what takes it: ps aux --sort -rss | head")
    return ok("memory", says)


def clock(facts: Facts) -> Finding:
    """It is right, and something keeps it right."""
    now = time.time()
    floor = max(facts.floor, facts.box.floor if facts.box is not None else 0)
    if now < floor - 60:
        says = f"{_date(now)}, which cannot be: this program or a release here is from {_date(floor)}"
        return bad("clock", says, "set it: timedatectl set-ntp true, or date -s")
    if not facts.synced:
        says = f"{_date(now)}, and nothing keeps it right: expired bundles are only warned of"
        return warn("clock", says, "timedatectl set-ntp true, or install chrony")
    return ok("clock", f"{_date(now)}, in sync")


def _date(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def data_directory(facts: Facts) -> Finding:
    """A local disk that survives a restart, with room, for us alone."""
    return on_disk("data directory", facts.data, int(facts.config.limits.reserve))


def on_disk(name: str, path: Path, reserve: int) -> Finding:
    """The findings that every directory of ours shares. `reserve`: bytes that must be free."""
    lies = disk(path)
    says = f"{path}: {human_bytes(lies.free)} free on {lies.kind}"
    if lies.read_only:
        return bad(name, f"{says}, read-only", f"mount -o remount,rw; why it is: dmesg | grep -i {lies.kind}")
    if lies.kind in REMOTE:
        return bad(name, f"{says}, which is not of this machine", "keep it on a local disk")
    if lies.kind in VOLATILE:
        return bad(name, f"{says}, which is gone after a restart", "keep it on a disk")
    if lies.free < reserve:
        return bad(
            name, f"{says}: less than the reserve of {human_bytes(reserve)}", f"free some: du -xh {lies.path} | sort -h"
        )
    if lies.free < LITTLE_DISK:
        return warn(name, f"{says}: little for images", f"free some: du -xh {lies.path} | sort -h | tail")
    if path.is_dir() and path.stat().st_mode & 0o077 and name == "data directory":
        return warn(name, f"{path} is open to other users", f"chmod 700 {path}")
    return ok(name, says)


def descriptors(facts: Facts) -> Finding:
    """Enough open files for a proxy."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    says = "no limit" if hard == resource.RLIM_INFINITY else f"{hard} open files a process"
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        return warn("open files", f"{says}: the ingress needs two a request", "raise it where minipaas is started from")
    return ok("open files", says)


def container_limits(facts: Facts) -> Finding | None:
    """Podman may set the limits that it gives to containers."""
    if facts.unprivileged or _capable(CAP_SYS_RESOURCE):
        return None
    wanted = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    own = {name: min(resource.getrlimit(number)[1] % 2**64, DESCRIPTORS // 2) for name, number in wanted.items()}
    if "default_ulimits" in files.read(Path(os.environ.get("CONTAINERS_CONF", CONTAINERS_CONF))):
        return ok("container limits", "set in containers.conf")
    line = ", ".join(f'"{name}={number}:{number}"' for name, number in own.items())
    return warn(
        "container limits",
        "root may not raise limits here: `podman run` by hand fails at setrlimit; apps do not",
        f"under [containers] in {CONTAINERS_CONF}: default_ulimits = [{line}]",
    )


def _capable(bit: int) -> bool:
    found = re.search(r"^CapEff:\s*(\w+)", files.read(Path("/proc/self/status")), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> bit & 1)


def init_system(facts: Facts) -> Finding:
    """Something starts minipaas with the host."""
    if facts.init is Init.NONE:
        return warn(
            "init", "nothing that minipaas knows starts services here", "start `minipaas serve` by your own means"
        )
    return ok("init", {Init.SYSTEMD: "systemd", Init.OPENRC: "OpenRC", Init.SYSV: "System V scripts"}[facts.init])


def page_port(facts: Facts) -> Finding | None:
    """Where status page and API answer."""
    taken = [one for one in facts.config.api.listen if _taken(one, facts)]
    if taken:
        says = f"{taken[0]} is held by {holder(parse_listen(taken[0])[1])}"
        return bad("page port", says, "stop that, or set another [api] listen in config.toml")
    return ok("page port", ", ".join(facts.config.api.listen)) if facts.config.api.listen else None


def app_port(facts: Facts) -> Finding:
    """Where apps answer."""
    return _door("app port", "http", facts.config.ingress.http, 80, facts)


def app_port_with_tls(facts: Facts) -> Finding | None:
    """Where they answer with TLS."""
    return _door("TLS port", "https", facts.config.ingress.https, 443, facts) if facts.config.tls_on else None


def _door(name: str, key: str, named: tuple[str, ...], usual: int, facts: Facts) -> Finding:
    for one in named or (f"0.0.0.0:{usual}",):
        port = parse_listen(one)[1]
        otherwise = "" if named else f": apps answer on {8000 + usual}"
        complain = bad if named else warn
        if _taken(one, facts):
            mend = f"stop that, or name another under [ingress] {key} in config.toml"
            return complain(name, f"{one} is held by {holder(port)}{otherwise}", mend)
        if facts.unprivileged and port < _first_free_port():
            mend = f"as root: sysctl -w net.ipv4.ip_unprivileged_port_start={port}, and in /etc/sysctl.d for good"
            return complain(name, f"{one} is for root{otherwise}", mend)
    return ok(name, ", ".join(named) or f"0.0.0.0:{usual}")


def usual_doors(facts: Facts) -> tuple[str, ...]:
    """Where apps come in if nobody says otherwise: without TLS and with it; empty where others have these ports."""
    plus = 8000 if facts.unprivileged and _first_free_port() > 80 else 0
    doors = tuple(f"0.0.0.0:{port + plus}" for port in (80, 443))
    return () if any(_taken(one, facts) for one in doors) else doors


def _first_free_port() -> int:
    return int(files.read(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")).strip() or 1024)


def _taken(listen: str, facts: Facts) -> bool:
    """Whether somebody else listens there."""
    address, port = parse_listen(listen)
    ours = (*facts.box.ingress, *facts.box.api) if facts.box is not None else ()
    if port == 0 or any(parse_listen(one)[1] == port for one in ours):
        return False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE and "minipaas" not in holder(port)
    return False


def holder(port: int) -> str:
    """Who listens on a TCP port: `nginx (process 812)`, as far as this user may see (proc(5), net/tcp)."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in files.read(Path(table)).splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        if not inodes.isdisjoint(opened(entry)):
            name = files.read(entry / "comm").strip()
            units = Path("/etc/systemd/system/minipaas-http.socket").exists()
            if name == "systemd" and units:
                return "minipaas, through systemd"
            return f"{name} (process {entry.name})"
    return "another program"


def opened(process: Path) -> Iterator[str]:
    """What a process has open, as far as this user may see; a file that is closed meanwhile hides no other one."""
    try:
        found = list((process / "fd").iterdir())
    except OSError:
        return
    for one in found:
        with contextlib.suppress(OSError):
            yield str(one.readlink())


CHECKS = (
    kernel,
    memory,
    clock,
    init_system,
    descriptors,
    container_limits,
    data_directory,
    page_port,
    app_port,
    app_port_with_tls,
)

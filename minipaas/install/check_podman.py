"""Checks of Podman: that it is there, new enough, answers, and that what it needs of the host is there too."""

from __future__ import annotations

import grp
import ipaddress
import os
import re
import shutil
from pathlib import Path

from minipaas.install import distro, files
from minipaas.install.check_host import kernel_version, on_disk
from minipaas.install.check_user import me
from minipaas.install.facts import Facts
from minipaas.install.findings import Finding, bad, ok, warn
from minipaas.install.service import Init
from minipaas.model.units import counted

OLDEST = (4, 3)
HELPERS = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
"""Where Podman looks for its helpers (containers.conf(5), helper_binaries_dir)."""
IDS = 65536
"""User ids that an image may use."""
OVERLAY_FOR_USERS = (5, 13)
"""The kernel from which Podman mounts overlays for a user."""
CONF = "/etc/containers/containers.conf"


def podman(facts: Facts) -> Finding:
    """There is one, new enough, and it answers."""
    if facts.guest:
        return warn("podman", "not looked at: it answers root alone", "sudo minipaas doctor")
    if facts.podman is None:
        if shutil.which("podman") is None and not facts.socket:
            return bad("podman", "there is no podman on this host", distro.install("podman"))
        user = "--user " if facts.unprivileged else ""
        mend = facts.podman_hint or (
            f"systemctl {user}enable --now podman.socket" if facts.init is Init.SYSTEMD else "podman info"
        )
        return bad("podman", facts.podman_error or "it does not answer", mend)
    version = facts.podman.version.version
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        return bad("podman", f"{version}: minipaas needs 4.3 or later", distro.install("podman"))
    how = facts.socket or "by a service of minipaas's own"
    return ok("podman", f"{version}, {how}{', without root' if facts.podman.host.security.rootless else ''}")


def runtime(facts: Facts) -> Finding | None:
    """The runtime can work with this host's control groups."""
    if facts.podman is None:
        return None
    host = facts.podman.host
    name = host.oci_runtime.name
    says = f"{name}, cgroups {host.cgroup_version}"
    hybrid = Path("/sys/fs/cgroup/unified").is_dir() and not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if host.oci_runtime.path and not Path(host.oci_runtime.path).exists() and shutil.which(name) is None:
        return bad("runtime", f"{name} is not there", distro.install(name))
    if name == "crun" and hybrid:
        mend = f'{distro.install("runc")}; under [engine] in {CONF}: runtime = "runc"'
        return bad("runtime", f"{says}, hybrid: crun cannot work with them", mend)
    if host.security.rootless and host.cgroup_version == "v1":
        mend = (
            "as root: add systemd.unified_cgroup_hierarchy=1 to the kernel's command line and restart the host; "
            "or install without --user"
        )
        return warn("runtime", f"{says}: a user's containers get no limits, of memory or of anything else", mend)
    missing = {"memory", "pids"} - set(host.cgroup_controllers or ())
    if missing and host.security.rootless and host.cgroup_version == "v2":
        mend = (
            "as root, in /etc/systemd/system/user@.service.d/delegate.conf: "
            "[Service] Delegate=cpu cpuset io memory pids"
        )
        return warn(
            "runtime", f"{says}: a user's containers cannot be limited in {' and '.join(sorted(missing))}", mend
        )
    if "memory" in missing and not host.security.rootless and host.cgroup_controllers:
        mend = "add cgroup_enable=memory to the kernel's command line and restart the host"
        return warn("runtime", f"{says}: memory cannot be limited", mend)
    return ok("runtime", says)


def network(facts: Facts) -> Finding | None:
    """Networks with names for services, and a packet filter to make them with."""
    if facts.podman is None:
        return None
    backend = facts.podman.host.network_backend
    if backend and backend != "netavark":
        mend = f'{distro.install("netavark", "aardvark-dns")}; under [network] in {CONF}: network_backend = "netavark"'
        return bad("network", f"{backend}: services would not find each other by name", mend)
    for helper in ("netavark", "aardvark-dns"):
        if not any(Path(place, helper).exists() for place in HELPERS) and shutil.which(helper) is None:
            return bad("network", f"there is no {helper}", distro.install("netavark", "aardvark-dns"))
    major = int(re.findall(r"\d+", facts.podman.version.version or "4")[0])
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    tools = [tool for tool in ("iptables", "nft") if shutil.which(tool, path=path)]
    if not tools or (major < 5 and "iptables" not in tools):
        wanted = "iptables" if major < 5 else "nftables"
        return bad("network", f"there is no {wanted}: no network could be made", distro.install(wanted))
    return ok("network", f"netavark, {tools[0]}")


def forwarding(facts: Facts) -> Finding | None:
    """Packets get from the host to its bridges."""
    if facts.unprivileged or facts.podman is None:
        return None
    on = files.read(Path("/proc/sys/net/ipv4/ip_forward")).strip() == "1"
    bridges = [one.network_interface for one in facts.networks if _is_up(one.network_interface)]
    if bridges and not on:
        mend = "sysctl -w net.ipv4.ip_forward=1; what turns it off: grep -r ip_forward /etc/sysctl.*"
        return bad("forwarding", f"net.ipv4.ip_forward is 0, and {bridges[0]} is up", mend)
    return ok("forwarding", "on" if on else "off; Podman turns it on with the first network")


def _is_up(interface: str) -> bool:
    return bool(interface) and Path("/sys/class/net", interface).exists()


def subnets(facts: Facts) -> Finding | None:
    """No network of containers hides a part of the LAN."""
    if facts.unprivileged or not facts.networks:
        return None
    routes = _routes({one.network_interface for one in facts.networks})
    for one in facts.networks:
        for subnet in one.subnets or ():
            for route, interface in routes:
                ours = ipaddress.ip_network(subnet.subnet, strict=False)
                if ours.version == 4 and route.overlaps(ours):
                    mend = f"set default_subnet_pools under [network] in {CONF}, then: podman network rm {one.name}"
                    return bad("subnets", f"{one.name} has {ours}, and so has {interface} ({route})", mend)
    return ok("subnets", f"{counted(len(facts.networks), 'network')}, apart from this host's routes")


def _routes(not_of: set[str]) -> list[tuple[ipaddress.IPv4Network, str]]:
    """IPv4 routes of this host but the default one: (network, interface) (proc(5), net/route)."""
    found = []
    for line in files.read(Path("/proc/net/route")).splitlines()[1:]:
        interface, destination, _, _, _, _, _, mask = line.split()[:8]
        if interface in not_of or int(mask, 16) == 0:
            continue
        address = ipaddress.IPv4Address(int(destination, 16).to_bytes(4, "little"))
        prefix = int(mask, 16).bit_count()
        found.append((ipaddress.IPv4Network((address, prefix), strict=False), interface))
    return found


def storage(facts: Facts) -> Finding | None:
    """Podman's own disk."""
    if facts.podman is None or not facts.podman.store.graph_root:
        return None
    store = facts.podman.store
    if store.graph_driver_name == "vfs":
        says = f"{store.graph_root}: vfs, which copies a whole image for each container"
        if facts.unprivileged and kernel_version() < OVERLAY_FOR_USERS:
            first = distro.install("fuse-overlayfs")
        else:
            conf = "~/.config/containers/storage.conf" if facts.unprivileged else "/etc/containers/storage.conf"
            first = f'under [storage] in {conf}: driver = "overlay"'
        return warn("storage", says, f"{first}; then, while nothing is in it: podman system reset")
    return on_disk("storage", Path(store.graph_root), int(facts.config.limits.reserve))


def user_ids(facts: Facts) -> Finding | None:
    """Containers have user ids of their own."""
    if facts.podman is None:
        return None
    name = me() if facts.unprivileged else "containers"
    ranges = [
        _range(Path(file), name, number)
        for file, number in (("/etc/subuid", os.getuid()), ("/etc/subgid", os.getgid()))
    ]
    if min(ranges) >= IDS:
        return ok("user ids", f"{min(ranges)} for {name}")
    if not facts.unprivileged:
        mend = "echo containers:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid"
        return warn("user ids", "root in a container is root of this host, but for its capabilities", mend)
    if shutil.which("newuidmap") is None:
        return bad("user ids", "there is no newuidmap", distro.install("uidmap"))
    give = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
    mend = f"as root: {give}; then, as {name}: podman system migrate"
    return bad("user ids", f"{name} has {min(ranges)} for containers in /etc/subuid and /etc/subgid", mend)


def _range(file: Path, name: str, number: int) -> int:
    """How many ids a user has there (subuid(5))."""
    total = 0
    for line in files.read(file).splitlines():
        parts = line.strip().split(":")
        if len(parts) == 3 and parts[0] in (name, str(number)) and parts[2].isdigit():
            total += int(parts[2])
    return total


def zombies(facts: Facts) -> Finding | None:
    """An init for containers."""
    if facts.podman is None:
        return None
    if any(Path(place, "catatonit").exists() for place in HELPERS) or shutil.which("catatonit"):
        return None
    return warn("catatonit", "missing: ended child processes of apps stay", distro.install("catatonit"))


def confinement(facts: Facts) -> Finding | None:
    """What else guards the host."""
    if facts.podman is None:
        return None
    security = facts.podman.host.security
    if security.selinux_enabled:
        return ok("confinement", "SELinux; Podman labels what apps write")
    return ok("confinement", "AppArmor") if security.apparmor_enabled else None


def group_of_socket(facts: Facts) -> Finding | None:
    """Podman's socket is root for whoever may open it."""
    if not facts.socket or facts.unprivileged or not Path(facts.socket).exists():
        return None
    status = Path(facts.socket).stat()
    if status.st_mode & 0o006:
        return bad(
            "podman socket", f"{facts.socket} is open to everybody, who is root by it", f"chmod 660 {facts.socket}"
        )
    if status.st_gid != 0 and status.st_mode & 0o060:
        group = grp.getgrgid(status.st_gid).gr_name if status.st_gid in {one.gr_gid for one in grp.getgrall()} else "?"
        says = f"the group {group} may open {facts.socket}, and is root by it"
        return warn("podman socket", says, f"only who may be root should be in it: getent group {group}")
    return None


CHECKS = (
    podman,
    runtime,
    network,
    forwarding,
    subnets,
    storage,
    user_ids,
    zombies,
    confinement,
    group_of_socket,
)

"""systemd's units for minipaas: the service, and the sockets that stay open while it is away.

Every directive of the service is there for a reason, said beside it in `_CONFINED`, `_WITH_PODMAN` or `_USER`. What
decides is who holds Podman. Where the host's podman.socket does, minipaas only talks to it, and can be shut in: its own
directories are all that it writes. Where minipaas starts Podman's service itself, Podman and its containers inherit
everything: a mount namespace (any ProtectX=, PrivateX=) would hide the mounts of containers from the next start, no new
privileges and a system call filter would break newuidmap, AppArmor profiles and apps; so there it is left open.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

WATCHDOG = 60
"""Seconds without a sign of life after which systemd starts minipaas again; twice what a slow disk may stall."""
BACKLOG = 1024
SERVICE = "minipaas.service"
PODMAN = "podman.socket"

_CONFINED = """
# Podman is another service: this one can be shut in. Root that talks to Podman's socket is still root for whoever takes
# it over; what follows is for mistakes, not a border of trust.
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writes}
ProtectHome=read-only
PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
# ports below 1024; what lies in scratch directories belongs to the users of containers
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH
SystemCallArchitectures=native
# adjtimex only reads here: whether the clock is in sync (which is why there is no ProtectClock=)
SystemCallFilter=@system-service adjtimex clock_adjtime
SystemCallErrorNumber=EPERM
UMask=0077
# the box looks after the apps: it should be the last to go when memory is short
OOMScoreAdjust=-500
KillMode=mixed
"""

_WITH_PODMAN = """
# Podman's service, and what holds its containers, are children of this one: they outlive a stop, keep their own control
# groups, and one that runs out of memory is no reason to stop the rest.
KillMode=process
Delegate=yes
OOMPolicy=continue
TasksMax=infinity
"""

_USER = """
# The tools that give a user's containers their ids (newuidmap) need new privileges: no more than this is possible.
KillMode={kill}
Delegate=yes
OOMPolicy=continue
"""


class Service(Struct, frozen=True, kw_only=True):
    """What an init system has to know of this box. Paths are absolute."""

    program: Path
    arguments: tuple[str, ...]
    """Of `minipaas`: serve, and where the configuration and data are."""
    data: Path
    home: Path
    http: tuple[str, ...] = ()
    """ADDRESS:PORT of sockets that systemd holds; empty: the box binds its own."""
    https: tuple[str, ...] = ()
    api: tuple[str, ...] = ()
    user: bool = False
    own_podman: bool = False


def units(service: Service) -> dict[str, str]:
    """Name -> content of every unit."""
    sockets = {
        "http": ("apps", service.http),
        "https": ("apps, with TLS", service.https),
        "api": ("status page and API", service.api),
        "unix": ("the command line", (str(service.data / "minipaas.sock"),)),
    }
    named = {f"minipaas-{kind}.socket": _socket(kind, *row) for kind, row in sockets.items() if row[1]}
    return {SERVICE: _service(service, named), **named}


def _service(service: Service, sockets: Iterable[str]) -> str:
    names = " ".join(sockets)
    podman = "" if service.own_podman else f" {PODMAN}"
    network = "" if service.user else " network-online.target"
    if service.user:
        body = _USER.format(kill="process" if service.own_podman else "mixed")
    elif service.own_podman:
        body = _WITH_PODMAN
    else:
        body = _CONFINED.format(
            writes=" ".join(_quoted(path) for path in (service.data, service.home)),
            # what lies in /tmp must be the same for Podman, which mounts scratch directories from there
            private_tmp="no" if any(service.data.is_relative_to(one) for one in ("/tmp", "/var/tmp")) else "yes",  # noqa: S108
        )
    command = " ".join(_quoted(word).replace("$", "$$") for word in (service.program, *service.arguments))
    edit = f"systemctl {'--user ' if service.user else ''}edit minipaas"
    return f"""# Written by minipaas install, which writes it again. Your own changes: {edit}
[Unit]
Description=minipaas: signed app bundles in, running and routed containers out
Documentation=man:minipaas(1)
Wants={_joined(network, podman)}
After={_joined(network, podman)}
# an edge server has nobody beside it: never give up
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
# certificates are loaded again; config.toml is not
ExecReload=/bin/kill -HUP $MAINPID
Sockets={names}
Restart=always
RestartSec=1
WatchdogSec={WATCHDOG}
# the first start after an upgrade may migrate a large registry on a slow disk
TimeoutStartSec=infinity
TimeoutStopSec=60
{body.strip()}

[Install]
WantedBy={"default.target" if service.user else "multi-user.target"}
Also={names}
"""


def _socket(kind: str, what: str, listen: tuple[str, ...]) -> str:
    lines = "\n".join(f"ListenStream={_escaped(one)}" for one in listen)
    if kind == "unix":
        options = "SocketMode=0600\nDirectoryMode=0700"
    else:
        # an address may come later, by DHCP; [::] is not also 0.0.0.0, which may be listed beside it
        options = "FreeBind=yes\nBindIPv6Only=ipv6-only\nNoDelay=yes"
    return f"""# Written by minipaas install, which writes it again.
[Unit]
Description=minipaas: where {what} {"come" if kind.startswith("http") else "comes"} in

[Socket]
{lines}
FileDescriptorName={kind}
Service={SERVICE}
Backlog={BACKLOG}
{options}

[Install]
WantedBy=sockets.target
"""


def _joined(*parts: str) -> str:
    return "".join(parts).strip()


def _escaped(text: object) -> str:
    """systemd.unit(5): % begins a specifier."""
    return str(text).replace("%", "%%")


def _quoted(word: object) -> str:
    """One word of a command line or list (systemd.syntax(7), systemd.service(5))."""
    text = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if not text or any(char in " \t';" for char in text) else text

"""What Podman's words mean, and the mend for the causes that are known.

Podman answers errors as `{"cause", "message", "response"}`; the message usually ends with the cause. Its own text is
always shown: it is what people search for.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from minipaas.engine import limits
from minipaas.model.errors import EngineDown, EngineError


class _Fault(msgspec.Struct):
    cause: str = ""
    message: str = ""


_RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"setrlimit|rlimit.*operation not permitted|wrong rlimit",
        "engine.rlimit",
        "Podman's default limits are above what this host allows: under [containers] in containers.conf put "
        'default_ulimits = ["nofile=HARD:HARD", "nproc=HARD:HARD"] with the values of `ulimit -Hn` and `ulimit -Hu`',
    ),
    (
        r"hybrid mode|cgroups in hybrid",
        "engine.cgroups",
        'crun cannot work with hybrid cgroups: install runc and put runtime = "runc" under [engine] in containers.conf',
    ),
    (
        r"controller .{0,40}not available|controllers? .{0,60}(is|are) not (available|delegated)",
        "engine.cgroups",
        "this user may not limit that resource: delegate the controllers (systemd: Delegate=cpu memory pids), "
        "or run as root",
    ),
    (
        r"address already in use|port is already allocated",
        "engine.port_taken",
        "another program or container holds that port: `ss -ltnp` names it",
    ),
    (
        r"no space left on device|disk quota exceeded",
        "engine.no_space",
        "the disk is full: remove old releases, or free space under Podman's storage (`podman system df`)",
    ),
    (
        r"(iptables|nft).{0,80}(no such file|not found)|unable to .{0,40}iptables",
        "engine.network",
        "netavark needs iptables (Podman 4) or nftables (Podman 5): install it",
    ),
    (
        r"(netavark|aardvark-dns).{0,80}(no such file|not found|could not find)"
        r"|could not find .{0,10}(netavark|aardvark)",
        "engine.network",
        "install netavark and aardvark-dns",
    ),
    (
        r"subnet .{0,60}(is already used|already in use)|could not find free subnet",
        "engine.subnet",
        "a network of this host uses that subnet: set default_subnet_pools under [network] in containers.conf",
    ),
    (r"catatonit|init binary", "engine.init", "install catatonit, or set init_path in containers.conf"),
    (
        r"operation not permitted.{0,60}(newuidmap|newgidmap)|cannot find (user ?ns|.{0,20}subuid)|no subuid ranges",
        "engine.subuid",
        "add ranges for the user to /etc/subuid and /etc/subgid (`containers` for userns=auto)",
    ),
    (
        r"read-only file system",
        "engine.read_only",
        "its root file system is read-only (`read_only` in app.toml): write to /tmp, or to a volume",
    ),
    (r"image is in use|image used by", "engine.in_use", ""),
    (r"(network|volume) is being used", "engine.in_use", ""),
    (r"name .{0,120} is already in use", "engine.name_taken", ""),
    (r"image not known|no such image", "engine.no_image", ""),
    # also with status 500: removed while Podman was answering for it
    (r"no such container|no container with name or id", "engine.missing", ""),
    (
        r"executable file .{0,80}not found|exec: .{0,200}no such file",
        "engine.no_command",
        "check `command` in app.toml",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), code, hint) for pattern, code, hint in _RULES)


def podman_text(body: bytes) -> str:
    """The sentence in an error answer's body, on one line and bounded."""
    try:
        fault = msgspec.json.decode(body, type=_Fault)
        text = fault.message or fault.cause
    except msgspec.MsgspecError:
        text = body.decode(errors="replace")
    return shorten(text)


def shorten(text: str) -> str:
    """On one line, at most `limits.MAX_ERROR_TEXT` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limits.MAX_ERROR_TEXT else line[: limits.MAX_ERROR_TEXT - 1] + "…"


def explain(what: str, text: str, status: int = 0) -> EngineError:
    """An error for "cannot WHAT: TEXT", with the mend where the cause is known."""
    text = shorten(text) or f"Podman answered HTTP {status} without a reason"
    for pattern, code, hint in _COMPILED:
        if pattern.search(text):
            return EngineError(f"cannot {what}: {text}", hint=hint, code=code)
    return EngineError(f"cannot {what}: {text}", code="engine.missing" if status == 404 else "engine.failed")


def unreachable(socket: str) -> EngineDown:
    """Why nobody answers on this socket, found by looking at it."""
    start = "systemctl enable --now podman.socket"
    if os.geteuid() != 0:
        start = "systemctl --user enable --now podman.socket"
    path = Path(socket)
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return _forbidden(socket)
    except OSError:
        hint = f"start it: `{start}`, or set podman.socket in config.toml"
        return EngineDown(f"cannot reach Podman: no socket at {socket}", hint=hint, code="engine.no_socket")
    if not stat.S_ISSOCK(mode):
        hint = "set podman.socket in config.toml to Podman's API socket"
        return EngineDown(f"cannot reach Podman: {socket} is not a socket", hint=hint, code="engine.no_socket")
    if not os.access(path, os.R_OK | os.W_OK):
        return _forbidden(socket)
    hint = f"restart it: `{start.replace('enable --now', 'restart')}`"
    return EngineDown(f"cannot reach Podman: nobody answers on {socket}", hint=hint, code="engine.dead_socket")


def dropped(what: str) -> EngineDown:
    """The service went away in the middle of a call: nobody knows whether it was carried out."""
    hint = "Podman's service ended or restarted; minipaas looks again by itself"
    return EngineDown(f"cannot {what}: Podman closed the connection", hint=hint, code="engine.dropped")


def _forbidden(socket: str) -> EngineDown:
    hint = "run minipaas as the user that owns the socket (root for the system's), or use the user's own Podman socket"
    return EngineDown(f"cannot reach Podman: no permission for {socket}", hint=hint, code="engine.permission")

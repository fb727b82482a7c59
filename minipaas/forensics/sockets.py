"""The sockets of an instance that lives: TCP, UDP, and those Unix sockets that its processes hold.

What always holds: at most `limits.SOCKETS` of each of the three, and `limits.TABLE` bytes of each of the kernel's
tables. Sources: Documentation/networking/proc_net_tcp.rst; proc(5), /proc/net/unix.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

from minipaas.forensics import limits
from minipaas.forensics.reading import Reading
from minipaas.model.capsule import Socket

_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
"""enum in include/net/tcp_states.h of the kernel; UDP has the first and the seventh."""
_UNCONNECTED = "UNCONNECTED"
_CONNECTED = {1: _UNCONNECTED, 2: "CONNECTING", 3: "CONNECTED", 4: "DISCONNECTING"}
"""socket_state in include/uapi/linux/net.h."""
_KINDS = {1: "unix", 2: "unix datagram", 5: "unix packets"}
"""sock_type in include/linux/net.h."""
_UNIX = re.compile(
    r"[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ (?P<flags>[0-9A-F]+) (?P<kind>[0-9A-F]+) (?P<state>[0-9A-F]+) +(?P<inode>[0-9]+)"
    r" ?(?P<name>.*)"
)
_LISTENS = 0x10000
"""__SO_ACCEPTCON of include/uapi/linux/net.h."""
_HELD = re.compile(r"\d+ -> socket:\[(\d+)\]", re.ASCII)


def sockets_of(net: Path, files: Iterable[str], reading: Reading) -> tuple[Socket, ...]:
    """`net`: /proc/PID/net of one of its processes; `files`: what all of them have open, as `3 -> socket:[4711]`."""
    held = {int(match[1]) for file in files if (match := _HELD.fullmatch(file))}
    found: list[Socket] = []
    for kind in ("tcp", "udp"):
        found += _first(kind, _internet(net, kind, reading), reading)
    if held:
        found += _first("unix", _unix(net / "unix", held, reading), reading)
    return tuple(found)


def _first(name: str, some: Iterator[Socket], reading: Reading) -> list[Socket]:
    """Of each sort its own number: many connections must not hide the rest."""
    found = list(islice(some, limits.SOCKETS))
    if next(some, None) is not None:
        reading.lacks(f"{name} sockets beyond the first {limits.SOCKETS}")
    return found


def _internet(net: Path, kind: str, reading: Reading) -> Iterator[Socket]:
    for name in (kind, f"{kind}6"):
        for line in _table(net / name, kind, reading):
            _, local, peer, state, *_ = line.split()
            word = _STATES.get(int(state, 16), state)
            if kind == "udp" and word == "CLOSE":
                word = _UNCONNECTED
            yield Socket(kind=kind, local=_address(local), peer=_address(peer), state=word)


def _table(path: Path, kind: str, reading: Reading) -> list[str]:
    """Its rows, without the heading."""
    if reading.over(f"{kind} sockets"):
        return []
    try:
        text = reading.read(path, limits.TABLE)
    except FileNotFoundError:
        return []  # a machine without IPv6
    except OSError as error:
        reading.lacks(f"{kind} sockets: {error.strerror}")
        return []
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        reading.lacks(f"{kind} sockets beyond the first {len(lines) - 2} of its network")
        lines.pop()
    return lines[1:]


def _unix(path: Path, held: Collection[int], reading: Reading) -> Iterator[Socket]:
    """`0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/x.sock`; one without a name goes by its inode,
    as its process has it open."""
    for line in _table(path, "unix", reading):
        match = _UNIX.fullmatch(line.rstrip("\n"))
        if match is None or int(match["inode"]) not in held:
            continue  # also the rest of a name with a line's end in it
        state = "LISTEN" if int(match["flags"], 16) & _LISTENS else _CONNECTED.get(int(match["state"], 16), "")
        kind = _KINDS.get(int(match["kind"], 16), "unix")
        yield Socket(kind=kind, local=match["name"] or f"socket:[{match['inode']}]", peer="", state=state)


def _address(text: str) -> str:
    """`0100007F:1F90` is 127.0.0.1:8080: words of four bytes in the order of the machine."""
    digits, _, port = text.partition(":")
    raw = bytes.fromhex(digits)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(words)
    return f"[{address}]:{int(port, 16)}" if address.version == 6 else f"{address}:{int(port, 16)}"

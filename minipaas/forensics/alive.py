"""The scene of an instance that still lives: its processes, what they wait for, what they have open, its sockets.

Read from the host's /proc, so that nothing has to run inside: what hangs in there cannot hinder it. Blocking, for a
thread; whatever cannot be read is left out and named. Source: proc(5); Documentation/networking/proc_net_tcp.rst.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path

from minipaas.forensics import limits
from minipaas.model.capsule import Alive, Process, Socket

_TCP = {
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
"""enum in include/net/tcp_states.h of the kernel."""


def look(pid: int, proc: Path = Path("/proc")) -> Alive:
    """The scene of the container whose first process on this host is `pid`."""
    missing: dict[str, None] = {}
    processes: list[Process] = []
    for one in _processes(proc, pid, missing):
        if len(processes) == limits.PROCESSES:
            missing[f"processes beyond the first {limits.PROCESSES}"] = None
            break
        processes.append(one)
    sockets = _sockets(proc / str(pid) / "net", missing)
    return Alive(at=time.time(), processes=tuple(processes), sockets=tuple(sockets), missing=tuple(missing))


def _processes(proc: Path, first: int, missing: dict[str, None]) -> Iterator[Process]:
    """Everything in the same pid namespace, in the order of the host's numbers."""
    try:
        namespace = (proc / str(first) / "ns/pid").readlink()
    except OSError as error:
        missing[f"processes: {error.strerror}"] = None
        return
    for number in sorted(int(one.name) for one in proc.iterdir() if one.name.isdigit()):
        place = proc / str(number)
        try:
            if (place / "ns/pid").readlink() == namespace:
                yield _process(place, missing)
        except OSError:
            continue  # it has ended, or is somebody else's


def _process(place: Path, missing: dict[str, None]) -> Process:
    status = dict(line.partition(":\t")[::2] for line in (place / "status").read_text(errors="replace").splitlines())
    command = (place / "cmdline").read_bytes()[: limits.COMMAND].replace(b"\0", b" ").decode(errors="replace").strip()
    wait = _text(place / "wchan")
    return Process(
        pid=int(status.get("NSpid", status["Pid"]).split()[-1]),
        parent=int(status["PPid"]),
        state=status["State"].split()[0],
        command=command or f"[{status['Name']}]",
        threads=int(status.get("Threads", "0")),
        memory=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        wait="" if wait in ("", "0") else wait,
        stack=_stack(place, missing),
        files=tuple(_files(place, missing)),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _stack(place: Path, missing: dict[str, None]) -> tuple[str, ...]:
    try:
        lines = (place / "stack").read_text(errors="replace").splitlines()
    except OSError as error:
        missing[f"kernel stacks: {error.strerror}"] = None
        return ()
    # `[<0>] do_wait+0x1b0/0x340`
    return tuple(line.partition("] ")[2].partition("+")[0] for line in lines[: limits.STACK] if "] " in line)


def _files(place: Path, missing: dict[str, None]) -> Iterator[str]:
    try:
        numbers = sorted(int(one.name) for one in (place / "fd").iterdir())
    except OSError as error:
        missing[f"open files: {error.strerror}"] = None
        return
    for number in numbers[: limits.OPEN_FILES]:
        try:
            yield f"{number} -> {(place / 'fd' / str(number)).readlink()}"
        except OSError:
            continue
    if len(numbers) > limits.OPEN_FILES:
        yield f"… and {len(numbers) - limits.OPEN_FILES} more"


def _sockets(net: Path, missing: dict[str, None]) -> list[Socket]:
    found: list[Socket] = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (net / name).read_text().splitlines()[1:]
        except OSError as error:
            missing[f"sockets: {error.strerror}"] = None
            continue
        for line in lines[: limits.SOCKETS - len(found)]:
            _, local, peer, state, *_ = line.split()
            found.append(Socket(local=_address(local), peer=_address(peer), state=_TCP.get(int(state, 16), state)))
        if len(lines) > limits.SOCKETS:
            missing[f"sockets beyond the first {limits.SOCKETS}"] = None
    return found


def _address(text: str) -> str:
    """`0100007F:1F90` is 127.0.0.1:8080: words of four bytes in the order of the machine."""
    digits, _, port = text.partition(":")
    raw = bytes.fromhex(digits)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(words)
    return f"[{address}]:{int(port, 16)}" if address.version == 6 else f"{address}:{int(port, 16)}"

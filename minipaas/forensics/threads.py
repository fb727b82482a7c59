"""The threads of a process that lives: what each waits for, those that do the same together.

What always holds: at most `limits.THREADS` of a process are read; the groups say how many threads they stand for, the
largest first. Source: proc(5), /proc/PID/task/TID/{status,wchan,syscall,stack}.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from msgspec import Struct

from minipaas.forensics import limits
from minipaas.forensics.reading import Reading
from minipaas.model.capsule import Threads

_FILE_CALLS = {
    "x86_64": {
        0: "read", 1: "write", 17: "pread64", 18: "pwrite64", 42: "connect", 43: "accept", 44: "sendto",
        45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync",
        232: "epoll_wait", 281: "epoll_pwait", 288: "accept4",
    },
    "aarch64": {
        22: "epoll_pwait", 25: "fcntl", 32: "flock", 63: "read", 64: "write", 67: "pread64", 68: "pwrite64",
        82: "fsync", 83: "fdatasync", 202: "accept", 203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg",
        212: "recvmsg", 242: "accept4",
    },
}  # fmt: skip
"""Calls in which threads wait, and whose first argument is a file: unistd.h of the kernel."""
_CALLS = {
    "x86_64": {
        7: "poll", 23: "select", 34: "pause", 35: "nanosleep", 61: "wait4", 128: "rt_sigtimedwait",
        219: "restart_syscall", 230: "clock_nanosleep", 247: "waitid", 257: "openat", 270: "pselect6", 271: "ppoll",
    },
    "aarch64": {
        56: "openat", 72: "pselect6", 73: "ppoll", 95: "waitid", 101: "nanosleep", 115: "clock_nanosleep",
        128: "restart_syscall", 137: "rt_sigtimedwait", 260: "wait4",
    },
}  # fmt: skip
"""Others in which they wait."""
_FUTEX = {"x86_64": 202, "aarch64": 98}


class _Thread(Struct, frozen=True):
    number: int
    name: str
    doing: tuple[str, str, str, tuple[str, ...]]
    """State, call, wait, stack: what makes it equal to others."""
    on: str


def threads_of(place: Path, reading: Reading) -> tuple[Threads, ...]:
    """Those of the process whose directory in /proc that is."""
    try:
        numbers = sorted(int(one.name) for one in (place / "task").iterdir())
    except OSError:
        return ()  # it has ended
    found: list[_Thread] = []
    for number in numbers[: limits.THREADS]:
        if reading.over("threads"):
            break
        try:
            found.append(_thread(place / "task" / str(number), reading))
        except (OSError, KeyError, IndexError):
            continue  # it has ended
    if len(numbers) > limits.THREADS:
        reading.lacks(f"threads of a process beyond the first {limits.THREADS}")
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[_Thread]] = {}
    for one in found:
        groups.setdefault(one.doing, []).append(one)
    return tuple(_group(each) for each in sorted(groups.values(), key=len, reverse=True))


def stack_of(place: Path, reading: Reading) -> tuple[str, ...]:
    """The kernel functions in which a thread or process is, the innermost first."""
    try:
        lines = reading.read(place / "stack").splitlines()
    except OSError as error:
        reading.lacks(f"kernel stacks: {error.strerror}")
        return ()
    # `[<0>] do_wait+0x1b0/0x340`
    return tuple(line.partition("] ")[2].partition("+")[0] for line in lines[: limits.STACK] if "] " in line)


def _thread(place: Path, reading: Reading) -> _Thread:
    status = dict(line.partition(":\t")[::2] for line in reading.read(place / "status").splitlines())
    wait = reading.word(place / "wchan")
    call, on = _call(place, reading)
    return _Thread(
        number=int(status.get("NSpid", status["Pid"]).split()[-1]),
        name=status["Name"],
        doing=(status["State"].split()[0], call, "" if wait == "0" else wait, stack_of(place, reading)),
        on=on,
    )


def _call(place: Path, reading: Reading) -> tuple[str, str]:
    """The system call in which it is, and what that is about: a lock's address, a file's number."""
    try:
        words = reading.read(place / "syscall").split()
    except OSError as error:
        reading.lacks(f"system calls: {error.strerror}")
        return "", ""
    if len(words) < 2 or int(words[0]) < 0:  # `running`; -1: in none, yet it sleeps
        return "", ""
    number, machine = int(words[0]), os.uname().machine
    if number == _FUTEX.get(machine):
        return "futex", words[1]
    if name := _FILE_CALLS.get(machine, {}).get(number):
        return name, str(int(words[1], 16))
    return _CALLS.get(machine, {}).get(number, str(number)), ""


def _group(threads: list[_Thread]) -> Threads:
    state, call, wait, stack = threads[0].doing
    on = Counter(one.on for one in threads if one.on).most_common(limits.WAITED_FOR)
    return Threads(
        count=len(threads),
        numbers=tuple(one.number for one in threads),
        names=tuple(dict.fromkeys(one.name for one in threads)),
        state=state,
        call=call,
        on=tuple(what if count == 1 else f"{what} x {count}" for what, count in on),
        wait=wait,
        stack=stack,
    )

"""Processes of this host, by what the kernel says of them (proc(5)).

What always holds: a signal goes only to a process that is still the one that was found, never to whoever has its number
since.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from msgspec import Struct


class Process(Struct, frozen=True):
    """One process: its number is used again some day, number and start together are not."""

    pid: int
    started: int
    """Clock ticks after boot."""


def session_of(leader: int) -> tuple[Process, ...]:
    """The leader of a session and all its members; nothing when it is not one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None and stat[0] == leader:
                found.append(Process(int(entry.name), stat[1]))
    return tuple(found)


def signal_session(members: tuple[Process, ...], number: signal.Signals) -> None:
    """Those that have ended meanwhile are no error, nor those that may not be signalled."""
    for one in members:
        with contextlib.suppress(OSError):
            held = os.pidfd_open(one.pid)
            try:
                stat = _stat(one.pid)
                if stat is not None and stat[1] == one.started:
                    signal.pidfd_send_signal(held, number)
            finally:
                os.close(held)


def _stat(pid: int) -> tuple[int, int] | None:
    """Session and start of a process; None: it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from the third field on: the name before may contain anything
    return int(fields[3]), int(fields[19])

"""What this box ran on, and since when: DATA/machine.json, a line for each time that something of it was new.

What always holds: the file has at most `limits.MACHINES` entries, the newest; it is whole or not there; one that cannot
be read is begun anew. Blocking, for a thread.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from minipaas.forensics import limits
from minipaas.model.capsule import Machine, MachineChange
from minipaas.model.units import human_bytes

_SIZES = ("memory", "disk")


class _Entry(Struct, frozen=True):
    since: float
    machine: Machine


class Machines:
    """One for the box."""

    def __init__(self, data: Path) -> None:
        self._path = data / "machine.json"

    def see(self, now: float, machine: Machine) -> None:
        """This is what it runs on now. Raises OSError."""
        entries = self._read()
        if entries and entries[-1].machine == machine:
            return
        entries = [*entries, _Entry(now, machine)][-limits.MACHINES :]
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(entries))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def at(self, when: float) -> Machine | None:
        """What it ran on then; None: nobody has looked yet."""
        return next((one.machine for one in reversed(self._read()) if one.since <= when), None)

    def _read(self) -> list[_Entry]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[_Entry])
        except (OSError, msgspec.MsgspecError):
            return []


def differences(before: Machine, after: Machine) -> tuple[MachineChange, ...]:
    """What of it is not the same any more. Sizes count when people would write them otherwise."""
    found = []
    for name in Machine.__struct_fields__:
        old, new = (str(getattr(one, name)) for one in (before, after))
        if name in _SIZES:
            old, new = human_bytes(int(old)), human_bytes(int(new))
        if old != new and name == "boot":
            found.append(MachineChange(what=name, before="", after=""))
        elif old != new:
            found.append(MachineChange(what=name, before=old, after=new))
    return tuple(found)

"""What changed since an app served well: the last other release that has proved itself, against the one that failed;
and the machine, against what it was when that one came.

What always holds: values of environment variables are never in it, only their names.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from minipaas.control.comparisons import Comparisons
from minipaas.engine.info import EngineInfo
from minipaas.forensics import limits
from minipaas.forensics.machine import Machines, differences
from minipaas.model.capsule import Machine, MachineChange, Since
from minipaas.registry.registry import Registry
from minipaas.registry.releases import ReleaseRow

NONE = "no other release of it has served well here"


class SinceGood:
    """One for the box."""

    def __init__(self, registry: Registry, comparisons: Comparisons, data: Path) -> None:
        self._registry = registry
        self._comparisons = comparisons
        self._machines = Machines(data)

    async def see(self, machine: Machine) -> None:
        """What the box runs on now. Raises OSError."""
        await asyncio.to_thread(self._machines.see, time.time(), machine)

    async def of(self, app: str, release: str, machine: Machine) -> Since | None:
        """What is different for an instance of this release that fails now. None: the box does not know the release.
        Raises MinipaasError, OSError."""
        rows = await self._registry.releases(app)
        mine = next((row for row in rows if row.release.digest == release), None)
        if mine is None:
            return None
        changes = await asyncio.to_thread(self._machine, mine.accepted_at, machine)
        good = last_good(rows, mine)
        well = mine.confirmed_at is not None
        if good is None:
            return Since(
                release="", version="", proved=0.0, well=well, sentence=NONE, came=mine.accepted_at, machine=changes
            )
        found = await self._comparisons.of(good, mine)
        most = limits.DIFFERENCES
        return Since(
            release=good.release.digest,
            version=good.release.version,
            proved=good.confirmed_at or 0.0,
            well=well,
            sentence=found.sentence,
            images=found.images,
            settings=found.settings[:most],
            packages=found.packages[:most],
            left_out=max(0, len(found.settings) - most) + max(0, len(found.packages) - most),
            unknown=found.unknown,
            came=mine.accepted_at,
            machine=changes,
        )

    def _machine(self, when: float, now: Machine) -> tuple[MachineChange, ...]:
        before = self._machines.at(when)
        return differences(before, now) if before is not None else ()


def last_good(rows: Sequence[ReleaseRow], mine: ReleaseRow) -> ReleaseRow | None:
    """The release that served well before: the one to go back to, when that is another one; else the one that has
    proved itself last."""
    others = [row for row in rows if row.confirmed_at is not None and row.release.digest != mine.release.digest]
    return next((row for row in others if row.good), None) or max(
        others, key=lambda row: row.confirmed_at or 0.0, default=None
    )


def machine_of(minipaas: str, info: EngineInfo, kernel: str, memory: int, disk: int) -> Machine:
    """The facts that seldom change. Sizes in bytes."""
    return Machine(
        minipaas=minipaas,
        podman=info.version,
        runtime=info.runtime,
        kernel=kernel,
        boot=info.boot,
        memory=memory,
        disk=disk,
    )

"""The scene of an instance that still lives: its processes, what all their threads wait for, what they have open, its
sockets.

Read from the host's /proc, so that nothing has to run inside: what hangs in there cannot hinder it. Blocking, for a
thread; whatever cannot be read, or not within the bounds of `reading`, is left out and named. Source: proc(5).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from minipaas.forensics import limits
from minipaas.forensics.reading import Reading
from minipaas.forensics.sockets import sockets_of
from minipaas.forensics.threads import stack_of, threads_of
from minipaas.model.capsule import Alive, Process, Socket, Threads


class Look:
    """One look at the container whose first process on this host is `pid`. `read` it on a thread; whoever can't wait
    for the end of that takes what there is `so_far`."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._pid = pid
        self._proc = proc
        self._reading: Reading | None = None
        self._found: list[tuple[Path, Process]] = []
        self._stacks: dict[int, tuple[Threads, ...]] = {}

    def read(self) -> Alive:
        """The scene."""
        reading = self._reading = Reading()
        for one in _processes(self._proc, self._pid, reading):
            if len(self._found) == limits.PROCESSES:
                reading.lacks(f"processes beyond the first {limits.PROCESSES}")
                break
            self._found.append(one)
        # All processes before the threads of any, and the most threads last: so many tell the least.
        for place, process in sorted(self._found, key=lambda one: one[1].threads):
            if reading.over("threads"):
                break
            self._stacks[process.pid] = threads_of(place, reading)
        files = (file for _, one in self._found for file in one.files)
        sockets = sockets_of(self._proc / str(self._pid) / "net", files, reading)
        return self._scene(sockets, reading.missing)

    def so_far(self, late: str) -> Alive:
        """What was read by now; `late` names the rest. From any thread."""
        missing = self._reading.missing.copy() if self._reading is not None else {}
        return self._scene((), missing | {late: None})

    def _scene(self, sockets: tuple[Socket, ...], missing: Iterable[str]) -> Alive:
        found = sorted(self._found, key=lambda one: int(one[0].name))
        processes = tuple(replace(one, stacks=self._stacks.get(one.pid, ())) for _, one in found)
        return Alive(at=time.time(), processes=processes, sockets=sockets, missing=tuple(missing))


def _processes(proc: Path, first: int, reading: Reading) -> Iterator[tuple[Path, Process]]:
    """Everything in the same pid namespace: the first, what was started after it in the order of the host's numbers,
    then the rest."""
    try:
        namespace = (proc / str(first) / "ns/pid").readlink()
    except OSError as error:
        reading.lacks(f"processes: {error.strerror}")
        return
    numbers = (int(one.name) for one in proc.iterdir() if one.name.isdigit())
    for number in sorted(numbers, key=lambda number: (number < first, number)):
        place = proc / str(number)
        if reading.over("processes"):
            return
        try:
            if (place / "ns/pid").readlink() == namespace:
                yield place, _process(place, reading)
        except OSError:
            continue  # it has ended, or is somebody else's


def _process(place: Path, reading: Reading) -> Process:
    status = dict(line.partition(":\t")[::2] for line in reading.read(place / "status").splitlines())
    command = reading.read(place / "cmdline", limits.COMMAND).replace("\0", " ").strip()
    wait = reading.word(place / "wchan")
    return Process(
        pid=int(status.get("NSpid", status["Pid"]).split()[-1]),
        parent=int(status["PPid"]),
        state=status["State"].split()[0],
        command=command or f"[{status['Name']}]",
        threads=int(status.get("Threads", "0")),
        memory=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        wait="" if wait in ("", "0") else wait,
        stack=stack_of(place, reading),
        files=tuple(_files(place, reading)),
    )


def _files(place: Path, reading: Reading) -> Iterator[str]:
    try:
        numbers = sorted(int(one.name) for one in (place / "fd").iterdir())
    except OSError as error:
        reading.lacks(f"open files: {error.strerror}")
        return
    for number in numbers[: limits.OPEN_FILES]:
        if reading.over("open files"):
            return
        try:
            target = os.fsencode((place / "fd" / str(number)).readlink())
            yield f"{number} -> {target.decode(errors='replace')}"
        except OSError:
            continue
    if len(numbers) > limits.OPEN_FILES:
        yield f"… and {len(numbers) - limits.OPEN_FILES} more"

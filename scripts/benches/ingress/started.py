"""A program that was started here: on cores of its own, ended by its pid, and what it has cost so far."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from kit.box import BoxError, fetch

READY = 20.0
"""Seconds until a program must answer."""


class Cores:
    """Who runs where. The proxies share one core, in turn; what answers and what asks share the other ones."""

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BoxError("the proxies need a core for themselves, and this machine has just one")
        self.proxy = allowed[0]
        self.upstream = allowed[1]
        self.load = allowed[2] if len(allowed) > 2 else allowed[1]

    def __str__(self) -> str:
        load = f"load on core {self.load}" if self.load != self.upstream else "load on the same"
        return f"each proxy on core {self.proxy}, in turn; upstream on core {self.upstream}, {load}"


def pinned(core: int, command: Sequence[str | Path]) -> list[str]:
    """The command on one core."""
    return ["taskset", "--cpu-list", str(core), *map(str, command)]


def tool(name: str) -> str:
    """Where a program is. Raises BoxError with what brings it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise BoxError(f"{name} is not installed; on Debian: apt-get install {name}")
    return found


class Started:
    """A process with its children."""

    def __init__(self, name: str, command: Sequence[str], log: Path, **environment: str) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as out:
            # In a session of its own, as `serve` has one: Linux shares a core out by session (sched(7), autogroup).
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, port: int, host: str, path: str = "/65") -> None:
        """Until it answers 200. Raises BoxError with its last words when it doesn't."""
        deadline = time.monotonic() + READY
        said = "nothing"
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                answer = fetch(port, path, host=host, timeout=2)
                if answer.status == 200:
                    return
                said = f"{answer.status}: {answer.text[:200]}"
            except (OSError, http.client.HTTPException) as error:
                said = str(error)
            time.sleep(0.02)
        ended = self._process.poll()
        how = f"ended with {ended}" if ended is not None else f"does not answer at port {port} ({said})"
        raise BoxError(f"{self.name} {how}; its last words:\n{self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            for one in _family(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait(5)


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children."""
    used = 0.0
    for one in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system
    return used


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children; what they share is counted once."""
    used = 0
    for one in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += one.memory_full_info().pss
    return used / 1e6


def files_allowed() -> int:
    """The hard limit of open files, for this process and all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def all_stopped(programs: list[Started]) -> Iterator[None]:
    """Whatever is in the list at the end is ended, the last one first."""
    try:
        yield
    finally:
        while programs:
            programs.pop().stop()

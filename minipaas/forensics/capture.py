"""Capturing: everything that can still be known of an instance that ended, into one capsule.

What always holds: what cannot be had is named in the capsule and costs nothing else; nothing is asked of the instance's
own programs. Raises OSError alone, when the capsule cannot be written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from minipaas.engine.engine import Engine
from minipaas.engine.scene import Making
from minipaas.forensics import accounts, files, limits, secrets
from minipaas.forensics.cause import cause_of, group_of
from minipaas.forensics.shelf import FILES, LOG
from minipaas.model.capsule import Alive, Asked, Capsule, Figures, FileChange, HostState, Since, capsule_id
from minipaas.model.errors import MinipaasError
from minipaas.model.observed import Instance
from minipaas.model.release import ImageRef
from minipaas.model.spec import ServiceSpec

T = TypeVar("T")

LastLines = Callable[[str, int], Awaitable[list[str] | None]]
"""The last so many lines of a container that has ended, as the box keeps them; None: its log was never opened."""
PODMANS_TAIL = "its log as minipaas keeps it: not read in time; these lines are Podman's, who may mix up long ones"
_LOG_PAUSES = (0.0, 0.2, 0.5)
"""Seconds before each look at a log that is empty: what a container said last may be written after its end is known."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the rest of the box knows about it."""

    version: str
    image: ImageRef | None
    spec: ServiceSpec | None
    """How its release says that it is run."""
    figures: Figures | None
    host: HostState | None
    audit: tuple[Asked, ...]
    since: Since | None
    missing: tuple[str, ...] = ()


class Found(Struct, frozen=True, kw_only=True):
    """What the container has left behind, and Podman knows of it."""

    lines: list[str]
    making: Making
    changes: list[FileChange]
    files: files.Collected
    files_size: int
    """Of the archive, in bytes."""


def identity(instance: Instance) -> str:
    """The capsule's id: the same whenever this end of this container is met."""
    return capsule_id(instance.id, instance.finished or instance.created)


class Capture:
    """One capsule in the making."""

    def __init__(
        self, engine: Engine, last_lines: LastLines, instance: Instance, stopped: str, alive: Alive | None
    ) -> None:
        """`stopped`: why minipaas stopped it; empty: nobody did. `alive`: its scene before that."""
        self._engine = engine
        self._last_lines = last_lines
        self._instance = instance
        self._stopped = stopped
        self._alive = alive
        self._missing: list[str] = []
        self._lines: list[str] | None = None

    async def group(self) -> str:
        """Which failures it is equal to: what can be told without its files."""
        cause, _, _ = cause_of(self._instance, self._stopped)
        one, lines = self._instance, await self._had("the log", self._log(), [])
        return group_of(one.app, one.service, cause, one.exit_code, _last_words(lines))

    async def make(self, staged: Path, facts: Facts) -> Capsule:
        """Collect into the directory `staged`."""
        begun = time.monotonic()
        found = await self._collect(staged)
        return self._told(found, facts, took=round(time.monotonic() - begun, 3))

    async def _collect(self, staged: Path) -> Found:
        one, engine = self._instance, self._engine
        lines, making, changes = await asyncio.gather(
            self._had("the log", self._log(), []),
            self._had("how it was made", engine.scenes.making(one.id), Making()),
            self._had("changed files", self._changes(), []),
        )
        _write_log(staged / LOG, lines)
        collected = await self._had(
            "files",
            asyncio.to_thread(
                files.collect, engine.archive, one.id, changes, staged / FILES, tuple(making.volumes.values())
            ),
            files.Collected(),
        )
        size = _size(staged / FILES, collected)
        return Found(lines=lines, making=making, changes=changes, files=collected, files_size=size)

    def _told(self, found: Found, facts: Facts, took: float) -> Capsule:
        one, spec = self._instance, facts.spec
        listed = found.files.listed(found.changes)
        last_words = _last_words(found.lines)
        cause, signal, reason = cause_of(one, self._stopped)
        return Capsule(
            id=identity(one),
            group=group_of(one.app, one.service, cause, one.exit_code, last_words),
            app=one.app,
            service=one.service,
            slot=one.slot,
            instance=one.name,
            container=one.id,
            release=one.release,
            version=facts.version,
            image=facts.image.manifest if facts.image is not None else "",
            image_id=facts.image.config if facts.image is not None else "",
            cause=cause,
            exit_code=one.exit_code,
            signal=signal,
            reason=reason,
            at=one.finished or one.created,
            ran=max(0.0, (one.finished or 0.0) - (one.started or one.finished or 0.0)),
            attempt=one.attempt,
            captured=time.time(),
            took=took,
            command=found.making.command,
            environment=secrets.shown(found.making.environment),
            volumes=found.making.volumes,
            user=spec.user if spec is not None else None,
            workdir=spec.workdir if spec is not None else None,
            memory=int(spec.memory) if spec is not None and spec.memory is not None else None,
            pids=spec.pids if spec is not None else None,
            last_words=last_words,
            log_lines=len(found.lines),
            changes=listed[: limits.CHANGES],
            changes_left_out=max(0, len(listed) - limits.CHANGES),
            files_size=found.files_size,
            cores=tuple(found.files.cores),
            probes=self._engine.probes(one.id),
            alive=self._alive,
            figures=facts.figures,
            host=facts.host,
            audit=facts.audit,
            since=facts.since,
            missing=(*self._missing, *found.files.missing, *facts.missing),
        )

    async def _log(self) -> list[str]:
        """Read once."""
        if self._lines is None:
            self._lines = await self._read_log()
        return self._lines

    async def _read_log(self) -> list[str]:
        """From where the box keeps logs. Podman's own tail (4.3) mixes up lines that were written in pieces, and is
        asked only when nobody has read the log."""
        lines: list[str] | None = None
        for pause in _LOG_PAUSES:
            await asyncio.sleep(pause)
            if lines := await self._kept_lines():
                return lines
        if lines is not None:
            return lines
        self._missing.append(PODMANS_TAIL)
        return await self._engine.log_tail(self._instance.id, limits.LOG_LINES)

    async def _kept_lines(self) -> list[str] | None:
        try:
            async with asyncio.timeout(limits.LOG_WAIT):
                return await self._last_lines(self._instance.id, limits.LOG_LINES)
        except (MinipaasError, OSError, TimeoutError):
            return None

    async def _changes(self) -> list[FileChange]:
        one = self._instance
        changes = files.own(await self._engine.scenes.changes(one.id))
        return await asyncio.to_thread(accounts.checked, self._engine.archive, one.id, one.created, changes)

    async def _had(self, what: str, work: Awaitable[T], otherwise: T) -> T:
        """Its result; `otherwise`, and a word in `missing`, when there is none."""
        try:
            return await work
        except MinipaasError as error:
            self._missing.append(f"{what}: {error.message}")
            return otherwise


def _last_words(lines: list[str]) -> tuple[str, ...]:
    return tuple(line[: limits.LINE] for line in lines[-limits.LAST_WORDS :])


def _write_log(path: Path, lines: list[str]) -> None:
    """The last lines in at most `limits.LOG_SIZE` bytes."""
    data = "".join(f"{line}\n" for line in lines).encode()
    if len(data) > limits.LOG_SIZE:
        data = data[-limits.LOG_SIZE :].partition(b"\n")[2]
    path.write_bytes(data)


def _size(path: Path, collected: files.Collected) -> int:
    """Of the archive; one with nothing but directories in it is no archive."""
    if not path.exists():
        return 0
    if not collected.files:
        path.unlink()
        return 0
    return path.stat().st_size

"""Capturing: everything that can still be known of an instance that ended, into one capsule.

What always holds: what cannot be had is named in the capsule and costs nothing else; nothing is asked of the instance's
own programs. Raises OSError alone, when the capsule cannot be written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from minipaas.engine.engine import Engine
from minipaas.engine.scene import Making
from minipaas.forensics import files, limits, secrets
from minipaas.forensics.cause import cause_of, group_of
from minipaas.forensics.shelf import FILES, LOG
from minipaas.model.capsule import Alive, Asked, Capsule, Figures, FileChange, HostState, capsule_id
from minipaas.model.errors import MinipaasError
from minipaas.model.observed import Instance

T = TypeVar("T")

_LOG_PAUSES = (0.0, 0.2, 0.5)
"""Seconds before each look at a log that is empty: what a container said last may be written after its end is known."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the rest of the box knows about it."""

    version: str
    image: str
    figures: Figures | None
    host: HostState | None
    audit: tuple[Asked, ...]
    missing: tuple[str, ...] = ()


def identity(instance: Instance) -> str:
    """The capsule's id: the same whenever this end of this container is met."""
    return capsule_id(instance.id, instance.finished or instance.created)


class Capture:
    """One capsule in the making."""

    def __init__(self, engine: Engine, instance: Instance, stopped: str, alive: Alive | None) -> None:
        """`stopped`: why minipaas stopped it; empty: nobody did. `alive`: its scene before that."""
        self._engine = engine
        self._instance = instance
        self._stopped = stopped
        self._alive = alive
        self._missing: list[str] = []

    async def make(self, staged: Path, facts: Facts) -> Capsule:
        """Collect into the directory `staged`."""
        begun = time.monotonic()
        one, engine = self._instance, self._engine
        lines, making, changes = await asyncio.gather(
            self._had("the log", self._log(), []),
            self._had("how it was made", engine.scenes.making(one.id), Making()),
            self._had("changed files", self._changes(), []),
        )
        _write_log(staged / LOG, lines)
        collected = await self._had(
            "files",
            asyncio.to_thread(files.collect, engine.scenes, one.id, changes, staged / FILES),
            files.Collected(),
        )
        last_words = tuple(line[: limits.LINE] for line in lines[-limits.LAST_WORDS :])
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
            image=facts.image,
            cause=cause,
            exit_code=one.exit_code,
            signal=signal,
            reason=reason,
            at=one.finished or one.created,
            ran=max(0.0, (one.finished or 0.0) - (one.started or one.finished or 0.0)),
            attempt=one.attempt,
            captured=time.time(),
            took=round(time.monotonic() - begun, 3),
            command=making.command,
            environment=secrets.shown(making.environment),
            volumes=making.volumes,
            last_words=last_words,
            log_lines=len(lines),
            changes=tuple(changes[: limits.CHANGES]),
            changes_left_out=max(0, len(changes) - limits.CHANGES),
            files_size=_size(staged / FILES, collected),
            cores=tuple(collected.cores),
            probes=engine.probes(one.id),
            alive=self._alive,
            figures=facts.figures,
            host=facts.host,
            audit=facts.audit,
            missing=(*self._missing, *collected.missing, *facts.missing),
        )

    async def _log(self) -> list[str]:
        for pause in _LOG_PAUSES:
            await asyncio.sleep(pause)
            if lines := await self._engine.log_tail(self._instance.id, limits.LOG_LINES):
                return lines
        return []

    async def _changes(self) -> list[FileChange]:
        return files.own(await self._engine.scenes.changes(self._instance.id))

    async def _had(self, what: str, work: Awaitable[T], otherwise: T) -> T:
        """Its result; `otherwise`, and a word in `missing`, when there is none."""
        try:
            return await work
        except MinipaasError as error:
            self._missing.append(f"{what}: {error.message}")
            return otherwise


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

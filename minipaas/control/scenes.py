"""Scenes: who fails is captured before its container may go, and replaced without waiting for that.

What always holds: nothing here raises, whatever goes wrong with a scene; a container's removal waits for its scene at
most `HOLD` seconds; of an instance that is stopped for its health the scene is taken while it lives, in at most `ALIVE`
seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Iterable

from minipaas.author.version import own_version
from minipaas.control.clock import clock_synced
from minipaas.engine.engine import Engine
from minipaas.forensics import alive
from minipaas.forensics.capture import Capture, Facts, identity
from minipaas.forensics.limits import (
    ALIVE,
    AT_ONCE,
    AUDIT_ROWS,
    AUDIT_SPAN,
    FIGURES,
    HOLD,
    WAITING,
)
from minipaas.forensics.shelf import Shelf
from minipaas.model.capsule import Alive, Asked, Figures, HostState
from minipaas.model.errors import MinipaasError
from minipaas.model.metrics import Range
from minipaas.model.observed import Instance
from minipaas.registry.audit import Wanted
from minipaas.registry.registry import Registry
from minipaas.telemetry.telemetry import Telemetry

log = logging.getLogger(__name__)


class Scenes:
    """One for a running box."""

    def __init__(self, registry: Registry, engine: Engine, telemetry: Telemetry, shelf: Shelf) -> None:
        self._registry = registry
        self._engine = engine
        self._telemetry = telemetry
        self._shelf = shelf
        self._alive: dict[str, Alive] = {}
        """Scenes of those that are being stopped, by container."""
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By container."""
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Break off what is under way: the containers are still there, and are met again at the next start."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def before_stop(self, container: str) -> None:
        """Take the scene of an instance that is about to be stopped for its health."""
        pid = self._engine.process(container)
        if pid is None or container in self._alive:
            return
        try:
            async with asyncio.timeout(ALIVE):
                self._alive[container] = await asyncio.to_thread(alive.look, pid)
        except TimeoutError:
            self._alive[container] = Alive(at=time.time(), missing=(f"processes: not read within {ALIVE:g} s",))
        except (OSError, ValueError, KeyError) as error:
            self._alive[container] = Alive(at=time.time(), missing=(f"processes: {error}",))

    def failed(self, found: Iterable[tuple[Instance, str]]) -> None:
        """These have ended, each with why minipaas stopped it (empty: nobody did)."""
        for instance, stopped in found:
            if instance.id not in self._under_way:
                self._under_way[instance.id] = asyncio.create_task(
                    self._safely(instance, stopped), name=f"scene of {instance.name}"
                )

    async def before_removal(self, container: str) -> None:
        """Wait until the scene of a container is taken."""
        task = self._under_way.get(container)
        if task is not None:
            await asyncio.wait((task,), timeout=HOLD)
        self._alive.pop(container, None)

    async def _safely(self, instance: Instance, stopped: str) -> None:
        try:
            await self._take(instance, stopped)
        except (MinipaasError, OSError) as error:
            log.warning("cannot keep the scene of %s: %s", instance.name, error)
        except Exception:
            log.exception("cannot keep the scene of %s", instance.name)
        finally:
            del self._under_way[instance.id]

    async def _take(self, instance: Instance, stopped: str) -> None:
        name = identity(instance)
        if await asyncio.to_thread(self._shelf.counted, name):
            return
        crowded = len(self._under_way) > WAITING
        async with self._turn:
            if crowded:
                log.warning("too many failures at once: the scene of %s is not captured", instance.name)
                return
            staged = await asyncio.to_thread(self._shelf.stage, name)
            try:
                capture = Capture(self._engine, instance, stopped, self._alive.pop(instance.id, None))
                capsule = await capture.make(staged, await self._facts(instance))
                await asyncio.to_thread(self._shelf.put, staged, capsule)
            except BaseException:
                self._shelf.discard(staged)
                raise
        log.info("kept the scene of %s: minipaas crash show %s", instance.name, capsule.id)

    async def _facts(self, instance: Instance) -> Facts:
        missing: list[str] = []
        version = image = ""
        figures: Figures | None = None
        host: HostState | None = None
        audit: tuple[Asked, ...] = ()
        try:
            release = await self._registry.release(instance.release)
            version = release.version
            image = release.images[instance.service].manifest
        except (MinipaasError, KeyError) as error:
            missing.append(f"its release: {error}")
        try:
            figures = await self._figures(instance)
        except (MinipaasError, OSError) as error:
            missing.append(f"its figures: {error}")
        try:
            host = await asyncio.to_thread(self._host)
        except OSError as error:
            missing.append(f"the machine: {error}")
        try:
            at = instance.finished or instance.created
            rows = await self._registry.audit_log(AUDIT_ROWS, Wanted(since=at - AUDIT_SPAN, until=at + 1))
            audit = tuple(
                Asked(at=row.at, actor=row.actor, action=row.action, subject=row.subject, result=row.result)
                for row in rows
            )
        except MinipaasError as error:
            missing.append(f"the audit: {error.message}")
        return Facts(version=version, image=image, figures=figures, host=host, audit=audit, missing=tuple(missing))

    async def _figures(self, instance: Instance) -> Figures | None:
        series = await self._telemetry.app_series(instance.app, Range.HOUR)
        for one in series.instances:
            if (one.service, one.slot) == (instance.service, instance.slot):
                skipped = max(0, len(one.cpu) - FIGURES)
                return Figures(
                    start=series.start + skipped * series.step,
                    step=series.step,
                    cpu=one.cpu[skipped:],
                    memory=one.memory[skipped:],
                    peak=one.peak[skipped:],
                    pids=one.pids[skipped:],
                )
        return None

    def _host(self) -> HostState:
        now = self._telemetry.host.read()
        return HostState(
            minipaas=own_version(),
            podman=self._engine.info.version,
            kernel=f"{platform.system()} {os.uname().release}",
            boot=self._engine.info.boot,
            uptime=now.uptime,
            load=now.load,
            memory_used=now.memory_used,
            memory_total=now.memory_total,
            disk_used=now.disk_used,
            disk_total=now.disk_total,
            clock_synced=clock_synced(),
        )

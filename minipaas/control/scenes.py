"""Scenes: who fails is captured before its container may go, and replaced without waiting for that.

What always holds: nothing here raises, whatever goes wrong with a scene; a container's removal waits for its scene at
most `HOLD` seconds; where very many fail at once, those that are equal to one that is kept are only counted; of an
instance that is stopped for its health the scene is taken while it lives, in at most `ALIVE` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from minipaas.author.version import own_version
from minipaas.control.clock import clock_synced
from minipaas.control.figures import figures_of
from minipaas.control.since import SinceGood, machine_of
from minipaas.engine.engine import Engine
from minipaas.forensics import alive
from minipaas.forensics.capture import Capture, Facts, LastLines, identity
from minipaas.forensics.limits import (
    ALIVE,
    AT_ONCE,
    AUDIT_ROWS,
    AUDIT_SPAN,
    GIVE_WAY,
    GIVE_WAY_MOST,
    HOLD,
    LOOKS_AT_ONCE,
    WAITING,
)
from minipaas.forensics.shelf import Shelf
from minipaas.model.capsule import Alive, Asked, Figures, HostState, Machine, Since
from minipaas.model.errors import MinipaasError
from minipaas.model.metrics import Range
from minipaas.model.observed import Instance
from minipaas.model.release import Release
from minipaas.model.usage import Usage
from minipaas.registry.audit import Wanted
from minipaas.registry.registry import Registry
from minipaas.telemetry.telemetry import Telemetry

log = logging.getLogger(__name__)


class Scenes:
    """One for a running box."""

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        telemetry: Telemetry,
        shelf: Shelf,
        last_lines: LastLines,
        since: SinceGood,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._telemetry = telemetry
        self._shelf = shelf
        self._last_lines = last_lines
        self._since = since
        self._alive: dict[str, Alive] = {}
        """Scenes of those that are being stopped, by container."""
        self._used: dict[str, list[Usage]] = {}
        """What was read of each of those that are being stopped or captured, by container."""
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By container."""
        self._looking = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look")
        """Threads of their own: who is about to be stopped does not wait behind what is slow."""
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._starts = 0
        """Containers that are being started."""
        self._calm = asyncio.Event()
        self._calm.set()

    async def close(self) -> None:
        """Break off what is under way: the containers are still there, and are met again at the next start."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._looking.shutdown(wait=False, cancel_futures=True)

    async def begin(self) -> None:
        """Write down what the box runs on, for those who ask later what has changed. Never raises."""
        try:
            await self._since.see((await asyncio.to_thread(self._host))[1])
        except OSError as error:
            log.warning("cannot write down what this machine is: %s", error)

    async def before_stop(self, container: str) -> None:
        """Take the scene of an instance that is about to be stopped for its health."""
        pid = self._engine.process(container)
        if pid is None or container in self._alive:
            return
        look, missing = alive.Look(pid), ""
        try:
            async with asyncio.timeout(ALIVE):
                self._alive[container] = await asyncio.get_running_loop().run_in_executor(self._looking, look.read)
                await self._see_used(container)
        except TimeoutError:
            missing = f"the rest of it: not read within {ALIVE:g} s"
        except (OSError, ValueError, KeyError) as error:
            missing = f"processes: {error}"
        if container not in self._alive:
            self._alive[container] = look.so_far(missing)

    async def _see_used(self, container: str) -> None:
        """Read what it has used by now, as far as the kernel or the last sample still tells."""
        seen = (await asyncio.to_thread(self._engine.used, container), self._telemetry.used(container))
        self._used.setdefault(container, []).extend(one for one in seen if one is not None)

    def failed(self, found: Iterable[tuple[Instance, str]]) -> None:
        """These have ended, each with why minipaas stopped it (empty: nobody did)."""
        for instance, stopped in found:
            if instance.id not in self._under_way:
                self._under_way[instance.id] = asyncio.create_task(
                    self._safely(instance, stopped), name=f"scene of {instance.name}"
                )

    @contextmanager
    def starting(self) -> Iterator[None]:
        """A container is made and started: nobody asks Podman about scenes meanwhile."""
        self._starts += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._starts -= 1
            if not self._starts:
                self._calm.set()

    async def _give_way(self) -> None:
        """To the replacement of whoever has failed: it is on its way in a moment. What ended holds still."""
        await asyncio.sleep(GIVE_WAY)
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_WAY_MOST):
                await self._calm.wait()

    async def before_removal(self, container: str) -> None:
        """Wait until the scene of a container is taken."""
        task = self._under_way.get(container)
        if task is not None:
            await asyncio.wait((task,), timeout=HOLD)
        self._alive.pop(container, None)
        self._used.pop(container, None)

    async def _safely(self, instance: Instance, stopped: str) -> None:
        try:
            await self._see_used(instance.id)  # before anything else: its cgroup goes in a moment
            await self._take(instance, stopped)
        except (MinipaasError, OSError) as error:
            log.warning("cannot keep the scene of %s: %s", instance.name, error)
        except Exception:
            log.exception("cannot keep the scene of %s", instance.name)
        finally:
            self._used.pop(instance.id, None)
            del self._under_way[instance.id]

    async def _take(self, instance: Instance, stopped: str) -> None:
        name = identity(instance)
        if await asyncio.to_thread(self._shelf.counted, name):
            return
        await self._give_way()
        async with self._turn:
            crowded = len(self._under_way) > WAITING  # the last of them are kept again: the latest is one of those
            capture = Capture(self._engine, self._last_lines, instance, stopped, self._alive.pop(instance.id, None))
            if crowded and await asyncio.to_thread(
                self._shelf.count, await capture.group(), name, instance.finished or instance.created
            ):
                return
            staged = await asyncio.to_thread(self._shelf.stage, name)
            try:
                capsule = await capture.make(staged, await self._facts(instance))
                await asyncio.to_thread(self._shelf.put, staged, capsule)
            except BaseException:
                self._shelf.discard(staged)
                raise
        log.info("kept the scene of %s: minipaas crash show %s", instance.name, capsule.id)

    async def _facts(self, instance: Instance) -> Facts:
        missing: list[str] = []
        release: Release | None = None
        figures: Figures | None = None
        host: HostState | None = None
        since: Since | None = None
        audit: tuple[Asked, ...] = ()
        try:
            release = await self._registry.release(instance.release)
        except MinipaasError as error:
            missing.append(f"its release: {error.message}")
        spec = release.spec.services.get(instance.service) if release is not None else None
        try:
            limit = int(spec.memory) if spec is not None and spec.memory is not None else None
            figures = await self._figures(instance, limit)
        except (MinipaasError, OSError) as error:
            missing.append(f"its figures: {error}")
        try:
            host, machine = await asyncio.to_thread(self._host)
            since = await self._since.of(instance.app, instance.release, machine)
        except (MinipaasError, OSError) as error:
            missing.append(f"the machine, and what changed since the app served well: {error}")
        try:
            at = instance.finished or instance.created
            rows = await self._registry.audit_log(AUDIT_ROWS, Wanted(since=at - AUDIT_SPAN, until=at + 1))
            audit = tuple(
                Asked(at=row.at, actor=row.actor, action=row.action, subject=row.subject, result=row.result)
                for row in rows
            )
        except MinipaasError as error:
            missing.append(f"the audit: {error.message}")
        return Facts(
            version=release.version if release is not None else "",
            image=release.images.get(instance.service) if release is not None else None,
            spec=spec,
            figures=figures,
            host=host,
            audit=audit,
            since=since,
            missing=tuple(missing),
        )

    async def _figures(self, instance: Instance, limit: int | None) -> Figures | None:
        series = await self._telemetry.app_series(instance.app, Range.HOUR)
        seen = self._used.pop(instance.id, ())
        return figures_of(instance, series, self._telemetry.sampled, seen, limit)

    def _host(self) -> tuple[HostState, Machine]:
        now, info = self._telemetry.host.read(), self._engine.info
        kernel = f"{platform.system()} {os.uname().release}"
        state = HostState(
            minipaas=own_version(),
            podman=info.version,
            kernel=kernel,
            boot=info.boot,
            uptime=now.uptime,
            load=now.load,
            memory_used=now.memory_used,
            memory_total=now.memory_total,
            disk_used=now.disk_used,
            disk_total=now.disk_total,
            clock_synced=clock_synced(),
        )
        return state, machine_of(state.minipaas, info, kernel, now.memory_total, now.disk_total)

"""Shipping as the rest of minipaas sees it: destinations in, how far each has come out.

What always holds: each destination is on its own; they share one thread for what costs CPU, which gives way to the
event loop again and again; without destinations nothing of this is even imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from minipaas.model.shipping import Kind, ShipConfig, ShipState
from minipaas.telemetry import limits
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.shipping.answer import Format, Sender
from minipaas.telemetry.shipping.cursor import Counts, Cursor
from minipaas.telemetry.shipping.elasticsearch import Elasticsearch
from minipaas.telemetry.shipping.gather import Gatherer
from minipaas.telemetry.shipping.http import Http
from minipaas.telemetry.shipping.loki import Loki
from minipaas.telemetry.shipping.origin import Origin, give_way
from minipaas.telemetry.shipping.otlp import Otlp
from minipaas.telemetry.shipping.places import Places
from minipaas.telemetry.shipping.shipper import Shipper
from minipaas.telemetry.shipping.stream import Stream
from minipaas.telemetry.shipping.syslog import Syslog

log = logging.getLogger(__name__)

T = TypeVar("T")


class Shipping:
    """One a box, made while there are destinations. `box`: its id; `synced`: whether something keeps the clock right;
    `pause`: seconds after a first failure. `run` while it is wanted; `close` before its task is cancelled."""

    def __init__(
        self,
        data: Path,
        destinations: Sequence[ShipConfig],
        logs: Logs,
        box: str,
        synced: Callable[[], bool],
        *,
        pause: float = limits.SHIP_PAUSE,
    ) -> None:
        self._destinations = destinations
        self._logs = logs
        self._origin = Origin(box, socket.gethostname())
        self._synced = synced
        self._pause = pause
        self._places = Places(data / "shipping.db")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shipping")
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._shippers: list[Shipper] = []

    async def run(self) -> None:
        """Send until cancelled, or closed."""
        try:
            self._shippers = await self._loaded()
            self._logs.intake.dropping = self._dropping
            async with asyncio.TaskGroup() as group:
                for one in self._shippers:
                    group.create_task(one.run(), name=f"ship to {one.config.name}")
        finally:
            for one in self._shippers:
                try:
                    await one.end()
                except Exception:
                    log.exception("ending to send logs to %s", one.config.name)
            self._logs.intake.dropping = lambda path: None
            self._thread.submit(self._places.close)
            self._thread.shutdown(wait=False)
            self._ended.set()

    async def close(self) -> None:
        """Let what is under way end, at most `limits.SHIP_CLOSE` seconds."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.SHIP_CLOSE):
                await self._ended.wait()

    def losing(self) -> tuple[str, ...]:
        """Destinations for which lines were lost within `limits.SHIP_LOSING`."""
        since = time.time() - limits.SHIP_LOSING
        return tuple(one.config.name for one in self._shippers if (one.cursor.counts.lost_at or 0) > since)

    async def states(self) -> tuple[ShipState, ...]:
        """Of all destinations, in the order of the configuration."""
        return tuple([await one.state() for one in self._shippers]) if not self._ended.is_set() else ()

    async def _loaded(self) -> list[Shipper]:
        """Whatever is wrong with the disk: the box goes on, and this is tried again."""
        while not self._stopping.is_set():
            try:
                return await self._work(self._load)
            except Exception as error:
                log.warning("cannot send logs anywhere yet: %s", error, exc_info=not isinstance(error, OSError))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.SHIP_LONGEST_PAUSE):
                    await self._stopping.wait()
        return []

    def _load(self) -> list[Shipper]:
        names = [one.name for one in self._destinations]
        known = self._places.load(names)
        return [self._shipper(one, known.get(one.name)) for one in self._destinations]

    def _shipper(self, config: ShipConfig, cursor: Cursor | None) -> Shipper:
        new = cursor is None
        cursor = cursor or Cursor({}, Counts())
        gatherer = Gatherer(self._logs.intake, cursor, config, give_way)
        if new:
            if not config.history and not self._places.anew:
                gatherer.skip()
            self._places.save(config.name, cursor)
        return Shipper(
            config,
            logs=self._logs,
            cursor=cursor,
            gatherer=gatherer,
            sender=self._sender(config),
            work=self._work,
            save=lambda: self._work(lambda: self._places.save(config.name, cursor)),
            stopping=self._stopping,
            pause=self._pause,
        )

    def _sender(self, config: ShipConfig) -> Sender:
        form: Format
        match config.kind:
            case Kind.SYSLOG:
                return Stream(config, Syslog(self._origin, self._synced))
            case Kind.ELASTICSEARCH:
                form = Elasticsearch(self._origin, config.index)
            case Kind.LOKI:
                form = Loki(self._origin)
            case Kind.OTLP:
                form = Otlp(self._origin)
        return Http(config, form)

    def _dropping(self, path: Path) -> None:
        for one in self._shippers:
            one.gatherer.dropping(path)

    async def _work(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

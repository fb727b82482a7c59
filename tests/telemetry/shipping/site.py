"""A log store with a shipper behind it, both real; only who writes the files is made up."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from minipaas.model.config import LogsConfig
from minipaas.model.logs import Source
from minipaas.model.shipping import Kind, ShipConfig, ShipState
from minipaas.model.units import Duration, Size
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.shipping.shipping import Shipping
from tests.telemetry.logs.conmon import Conmon, source

PATIENCE = 30.0
PAUSE = 0.005


def config(kind: Kind, url: str, **more: object) -> ShipConfig:
    """A destination that is quick."""
    given: dict[str, object] = {"name": kind.value, "delay": Duration(0.02), **more}
    return ShipConfig(kind=kind, url=url, **given)  # type: ignore[arg-type]


class Site:
    """Begun with `running`, as often as wanted."""

    def __init__(self, directory: Path, *destinations: ShipConfig, quota: int = 64 * 1024**2) -> None:
        self.directory = directory
        self.destinations = destinations
        self.config = LogsConfig(quota=Size(quota), rate=Size(0))
        self.synced = True
        self.logs: Logs | None = None
        self.shipping: Shipping | None = None
        self._wanted: dict[str, tuple[Source, str]] = {}
        self._written: dict[str, Conmon] = {}

    def write(self, *texts: str | bytes, container: str = "c1", app: str = "shop", stream: str = "stdout") -> None:
        """Lines of a container, which is there from its first on."""
        if container not in self._written:
            self._written[container] = Conmon(self.directory / "podman" / f"{container}.log")
            of = source(container, app=app)
            self._wanted[container] = of, str(self._written[container].path)
        self._written[container].write(*texts, stream=stream)
        if self.logs is not None:
            self.logs.follow(self._wanted)

    def rotate(self, container: str) -> None:
        """conmon begins another file."""
        self._written[container].rotate()

    def cut_off(self, container: str, left: list[str]) -> None:
        """Of its file no more than these lines is left."""
        path = self._written[container].path
        rows = path.read_bytes().splitlines(keepends=True)
        os.truncate(path, sum(len(row) for row in rows[: len(left)]))

    def remove(self, container: str) -> None:
        """It is gone, as Podman removes one."""
        self._written.pop(container).path.unlink()
        del self._wanted[container]
        assert self.logs is not None
        self.logs.follow(self._wanted)

    @contextlib.asynccontextmanager
    async def running(self, *, kill: bool = False) -> AsyncIterator[Site]:
        """`kill`: it ends without a chance to do anything."""
        self.logs = Logs(self.directory, self.config)
        self.logs.follow(self._wanted)
        self.shipping = Shipping(
            self.directory, self.destinations, self.logs, "0123456789abcdef", lambda: self.synced, pause=PAUSE
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.logs.run(), name="logs")]
                if self.destinations:
                    tasks.append(group.create_task(self.shipping.run(), name="shipping"))
                    async with asyncio.timeout(PATIENCE):
                        while not await self.shipping.states():  # noqa: ASYNC110 - it tells nobody when it has begun
                            await asyncio.sleep(0.005)
                try:
                    yield self
                finally:
                    if not kill:
                        await self.shipping.close()
                    for task in tasks:
                        task.cancel()
            if not kill:
                await self.logs.close()
        finally:
            self.logs = self.shipping = None

    async def until(self, look: Callable[[], object]) -> None:
        """Poll until it is true."""
        async with asyncio.timeout(PATIENCE):
            while not look():  # noqa: ASYNC110 - others do what is waited for
                await asyncio.sleep(0.01)

    async def state(self, number: int = 0) -> ShipState:
        """Of a destination."""
        assert self.shipping is not None
        return (await self.shipping.states())[number]

    async def until_state(self, fits: Callable[[ShipState], object], number: int = 0) -> ShipState:
        """Wait for a state that fits."""
        async with asyncio.timeout(PATIENCE):
            while True:
                state = await self.state(number)
                if fits(state):
                    return state
                await asyncio.sleep(0.02)

    async def stored(self) -> None:
        """What has been written is in the store."""
        assert self.logs is not None
        await self.logs.round(force=True)

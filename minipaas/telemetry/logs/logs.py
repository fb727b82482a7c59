"""The logs of all apps, as the rest of minipaas sees them: containers in, lines out, news to whoever follows.

What always holds: the event loop never waits for a disk; what goes wrong here is logged once and is nobody else's
trouble; what is not stored when the process ends is still in Podman's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from minipaas.model.config import LogsConfig
from minipaas.model.errors import MinipaasError
from minipaas.model.logs import Found, Line, Source, Wanted
from minipaas.telemetry import limits
from minipaas.telemetry.logs.intake import Bounds, Intake, Round
from minipaas.telemetry.logs.reading import Place, Reading

log = logging.getLogger(__name__)

T = TypeVar("T")


class Logs:
    """One a box. All methods are for the event loop. `run` while it is wanted, `close` at the end."""

    def __init__(self, data: Path, config: LogsConfig) -> None:
        bounds = Bounds(quota=int(config.quota), keep=float(config.keep), rate=int(config.rate))
        self._intake = Intake(data / "logs", bounds)
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="logs")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="log-search")
        self._wanted: dict[str, tuple[Source, str]] = {}
        self._version: dict[str, int] = {}
        self._grown = asyncio.Event()
        self._live = 0
        self._closed = False
        self._told = ""

    # -- in

    def follow(self, wanted: Mapping[str, tuple[Source, str]]) -> None:
        """The containers that are there, by id, with the paths of their logs. Those of others are read to their end
        and let go."""
        self._wanted = dict(wanted)

    async def hold(self, source: Source, path: str) -> None:
        """Have this container's log open before it may be removed."""
        self._wanted[source.container] = (source, path)
        if source.container not in self._intake.tails:
            await self.round()

    async def run(self) -> None:
        """Look at the files until cancelled."""
        while True:
            seen = await self.round()
            busy = self._live or (seen is not None and seen.stored >= limits.LOG_MUCH)
            await asyncio.sleep(limits.LOG_LOOK_LIVE if busy else limits.LOG_LOOK)

    async def round(self, *, force: bool = False) -> Round | None:
        """One look at every file; None: it went wrong, which is told."""
        wanted = dict(self._wanted)

        def work() -> Round:
            self._intake.follow(wanted)
            return self._intake.round(force=force)

        try:
            seen = await self._run(self._writing, work)
            self._told = ""
        except Exception as error:
            if self._told != repr(error):
                self._told = repr(error)
                log.warning("cannot read logs: %s", error, exc_info=not isinstance(error, OSError))
            return None
        if seen.grown:
            for app in seen.grown:
                self._version[app] = self._version.get(app, 0) + 1
            self._grown.set()
            self._grown = asyncio.Event()
        return seen

    async def close(self) -> None:
        """Store what is left; at most `limits.LOG_CLOSE` seconds."""
        self._closed = True
        self._grown.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.LOG_CLOSE):
                await self._run(self._writing, self._intake.close)
        self._writing.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)

    # -- out

    def known(self, app: str) -> bool:
        """Whether there may be lines of such an app."""
        return any(tail.source.app == app for tail in self._intake.tails.values()) or (
            self._intake.directory.joinpath(app).is_dir()
        )

    async def newest(self, app: str, wanted: Wanted, most: int) -> Found:
        """The last `most` lines that are wanted, and where to go on following. Raises Deadline."""
        return await self._run(self._reading, lambda: self._of(app).newest(wanted, most))

    async def after(self, app: str, wanted: Wanted, place: Place, most: int) -> Found:
        """Lines behind the place that a reader has reached, as far as there are any; the place goes with them."""
        return await self._run(self._reading, lambda: self._of(app).after(wanted, place, most))

    async def sources(self, app: str) -> list[Source]:
        """Whose lines there are: of the containers that are there, and the latest of those that are gone."""
        return await self._run(self._reading, lambda: self._of(app).sources(limits.LOG_SOURCES))

    async def last(self, container: str, most: int) -> tuple[Line, ...] | None:
        """The last lines of a container that has ended, as it wrote them: also those that its rate has cost, and one
        without an end. None: its log is not open here (see `hold`). Raises Deadline."""

        def work() -> tuple[Line, ...] | None:
            tail = self._intake.tails.get(container)
            if tail is None or not tail.look():
                return None
            if tail.replaced:
                self._intake.round(force=True)  # to the end of the file that is gone, and on to the next
            begins, lines = tail.last(limits.LOG_LAST)
            if len(lines) < most and begins:
                wanted = Wanted(instance=container)
                stored = Reading(self._intake.directory / tail.source.app, ()).newest(wanted, most).lines
                lines = [*(line for line in stored if line.at < begins), *lines]
            return tuple(lines[-most:])

        return await self._run(self._writing, work)

    def version(self, app: str) -> int:
        """Grows when there are new lines of an app."""
        return self._version.get(app, 0)

    async def newer(self, app: str, version: int, patience: float) -> bool:
        """Wait until there is something newer, at most so many seconds. False: the box stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.version(app) == version and not self._closed:
                    await self._grown.wait()
        return not self._closed

    @property
    def versions(self) -> Mapping[str, int]:
        """Of all apps that have had new lines since the start."""
        return self._version

    async def news(self, patience: float) -> None:
        """Wait until some app has new lines, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._grown.wait()

    @property
    def intake(self) -> Intake:
        """For who reads along with it, on a thread of its own."""
        return self._intake

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Somebody follows: look more often."""
        self._live += 1
        try:
            yield
        finally:
            self._live -= 1

    def _of(self, app: str) -> Reading:
        tails = [tail for tail in self._intake.tails.values() if tail.source.app == app]
        return Reading(self._intake.directory / app, tails, self._intake.gone.get(app, ()))

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except RuntimeError as ended:  # the pool has been shut down
            if not self._closed:
                raise
            raise MinipaasError("cannot read logs: the box is stopping", code="logs.stopping") from ended

"""The life of one process of `serve`, from the first socket to the last drain or to the program that it becomes.

    main ──> serves ──wish──> starts an heir ──here──> closes its registry ──go, ready──> watches and drains
               ^                │ did not start          │ not ready                         │    │ heir confirmed,
               └────────────────┴────────────────────────┴─────── heir died twice ───────────┘    │ all drained
                                                                                                  v
                            main becomes the new program, and takes the box back: here ── go ── ready
    heir ── here ── go ── ready ──> serves ──here──> closes its registry ──go, ready──> drains, ends

What always holds: the process that the service manager knows keeps its id over every hand-over, and speaks to it alone;
the sockets stay open, so that who connects is answered by one process or waits for the other; at most one process has
the registry open; whoever fails to take over leaves the box to the one before; an heir ends when main has ended.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from minipaas.author.version import own_version
from minipaas.ingress.ingress import Ingress
from minipaas.model.config import UpgradeConfig
from minipaas.model.errors import Conflict, MinipaasError
from minipaas.race import race
from minipaas.takeover import limits
from minipaas.takeover.becoming import Becomes
from minipaas.takeover.channel import Channel, Go, Here
from minipaas.takeover.contracts import Heart, OpenHeart, Wish
from minipaas.takeover.inheritance import Inheritance, Role
from minipaas.takeover.listeners import Listeners
from minipaas.takeover.notify import notify, watch, watchdog_interval

HANDING = "minipaas is handing this box over to another process of itself"


class Life:
    """What main and heir have in common. `run` it once. `first_look`: seconds, when nobody else serves meanwhile;
    `drain`: seconds that requests have when the process is told to stop; `arguments`: of this program, for the next one
    too."""

    role: Role
    busy: str
    """Why no hand-over can begin now; empty: one can."""

    def __init__(
        self,
        inheritance: Inheritance,
        *,
        listeners: Listeners,
        lock: int,
        settings: UpgradeConfig,
        first_look: float,
        drain: float,
        open_heart: OpenHeart,
        arguments: tuple[str, ...],
    ) -> None:
        self.trial: float | None = None
        """Seconds that this process has to serve until it is confirmed; None: it is not on trial."""
        self.confirmed: Callable[[], None] = lambda: None
        """Called when that time is over."""
        self._inheritance = inheritance
        self._listeners = listeners
        self._lock = lock
        self._settings = settings
        self._first_look = first_look
        self._drain = drain
        self._open = open_heart
        self._arguments = arguments
        self._ingress: Ingress | None = None
        self._leaving: Ingress | None = None
        self._stop = asyncio.Event()
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue(1)
        self._heart: Heart | None = None
        self._heard = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup

    def stop(self) -> None:
        """End this process, with grace."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def wish(self, wish: Wish) -> None:
        """Begin a hand-over. Raises Conflict when one is under way."""
        if self.busy:
            raise Conflict(f"cannot do that now: {self.busy}", hint="see: minipaas upgrade --status", code="self.busy")
        self.busy = HANDING
        self._wishes.put_nowait(wish)

    async def run(self) -> Becomes | None:
        """Until it is told to stop (None), or has to become another program."""
        async with asyncio.TaskGroup() as self._group:
            interval = watchdog_interval(os.environ) if self.role is Role.MAIN else None
            if interval is not None:
                self._task(watch(interval, self._alive, functools.partial(notify, "WATCHDOG=1")), "watchdog")
            try:
                return await self._live()
            finally:
                for task in self._tasks:
                    task.cancel()

    async def _live(self) -> Becomes | None:
        raise NotImplementedError

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Something that goes on beside, at most as long as this life."""
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the ingress -------------------------------------------------------------------------------------------------

    def _next_ingress(self) -> Ingress:
        """For a box that is about to be opened. If there is one already, it goes on answering by the routes it has
        until the box has looked at the apps: before, the box would take all routes away."""
        self._leaving, self._ingress = self._ingress, Ingress()
        return self._ingress

    def _opened(self) -> None:
        """The box answers on the new ingress."""
        old, self._leaving = self._leaving, None
        if old is not None and self._ingress is not None:
            self._ingress.elder = old
            self._task(self._let_go(self._ingress, old), "takeover: the ingress before")

    async def _let_go(self, ingress: Ingress, old: Ingress) -> None:
        try:
            await old.leave(self._settings.drain)
        finally:
            if ingress.elder is old:
                ingress.elder = None

    def _not_opened(self) -> None:
        """It does not; the ingress before goes on."""
        if self._leaving is not None:
            self._ingress, self._leaving = self._leaving, None

    async def _ended(self) -> None:
        """The last of it: requests under way end, nothing listens any more."""
        if self._ingress is not None:
            await self._ingress.close(self._drain)

    # ----------------------------------------------------------------------------------------------------------------

    async def _may_take(self, channel: Channel) -> bool:
        """Say that we are there, and wait until the registry is free. False: told to stop, or the other is gone."""
        channel.send(Here(own_version(), os.getpid()))
        while True:
            which, message = await race(stop=self._stop.wait(), message=channel.receive())
            if which == "stop" or message is None:
                return False
            if isinstance(message, Go):
                return True

    async def _alive(self) -> None:
        """For the service manager: whoever has the registry open answers; between two of them, there is a time-out."""
        if self._heart is not None:
            await self._heart.alive()
        elif time.monotonic() - self._heard > limits.HUNG + self._settings.ready + limits.START:
            raise MinipaasError("the process that serves gives no sign of life")


def first(group: BaseExceptionGroup[MinipaasError]) -> MinipaasError:
    """The error of a group of one."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MinipaasError)  # noqa: S101 - the group was caught as one of these
    return error

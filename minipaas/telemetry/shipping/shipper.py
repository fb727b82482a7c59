"""One destination: take what it has not got, send it, move on once it is confirmed.

What always holds: what is not confirmed is sent again, after pauses that grow, whatever went wrong; at most one batch
of lines, and what syslog has not had time to keep, is in memory; another destination, the store and the ingress do not
notice how slow this one is. Lines that it refuses are counted and passed over, for they would be refused for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from minipaas.model.logs import Line
from minipaas.model.shipping import ShipConfig, ShipState
from minipaas.telemetry import limits
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.shipping.answer import Answer, NotSent, Sender
from minipaas.telemetry.shipping.cursor import Cursor
from minipaas.telemetry.shipping.gather import Batch, Gatherer
from minipaas.telemetry.shipping.parting import Parting

log = logging.getLogger(__name__)

T = TypeVar("T")


class Work(Protocol):
    """Runs something on the thread that all destinations share."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Shipper:
    """`run` while it is wanted; `stopping` is set when the box stops."""

    def __init__(
        self,
        config: ShipConfig,
        *,
        logs: Logs,
        cursor: Cursor,
        gatherer: Gatherer,
        sender: Sender,
        work: Work,
        save: Callable[[], Awaitable[None]],
        stopping: asyncio.Event,
        pause: float = limits.SHIP_PAUSE,
    ) -> None:
        self.config = config
        self.cursor = cursor
        self.gatherer = gatherer
        self._logs = logs
        self._sender = sender
        self._work = work
        self._save = save
        self._stopping = stopping
        self._pause = pause
        self._proven = False
        """It has taken lines."""
        self._failures = 0
        self._error, self._error_at = "", None  # type: tuple[str, float | None]
        self._retry_at: float | None = None
        self._told = ""
        self._sending: Batch | None = None
        self._settling: deque[tuple[float, Batch]] = deque()
        """Received, and not known to be safe yet, with the monotonic time when it will be."""
        self._seen: dict[str, int] = {}
        self._waiting: list[str] = []
        """Apps that may have something, those that waited longest first."""
        self._looked = float("-inf")

    async def run(self) -> None:
        """Until cancelled, or `stopping` is set and what is under way has ended."""
        while not self._stopping.is_set():
            try:
                await self._round()
            except Exception:
                log.exception("shipping to %s", self.config.name)
                await self._give_back()
                await self._sleep(limits.SHIP_LONGEST_PAUSE)

    async def end(self) -> None:
        """After `run`: what is not known to be safe is asked for, and the connection closed."""
        try:
            if self._settling and await self._sender.rest():
                self._settle(float("inf"))
            left = [line for batch in self._unconfirmed() for line in batch.lines]
            await self._work(lambda: self.gatherer.abandon(left))
            await self._save()
        finally:
            await self._sender.close()

    async def state(self) -> ShipState:
        """How far it has come."""
        size, oldest = await self._work(self.gatherer.behind)
        for batch in self._unconfirmed():
            size += batch.size
            oldest = min((one for one in (oldest, batch.first) if one is not None), default=None)
        counts = self.cursor.counts
        return ShipState(
            name=self.config.name,
            kind=self.config.kind,
            url=self.config.url,
            failing=self._failures > 0,
            error=self._error,
            error_at=self._error_at,
            retry_at=self._retry_at,
            confirmed_at=counts.confirmed_at,
            newest=counts.newest,
            lines=counts.lines,
            sent_bytes=counts.sent_bytes,
            behind_bytes=size,
            behind_since=oldest,
            refused=counts.refused,
            refused_why=counts.refused_why,
            lost=counts.lost,
            lost_bytes=counts.lost_bytes,
            lost_at=counts.lost_at,
        )

    def _unconfirmed(self) -> list[Batch]:
        """What was taken, the oldest first."""
        return [*(one for _, one in self._settling), *([self._sending] if self._sending is not None else [])]

    # -- one round

    async def _round(self) -> None:
        await self._note_news()
        if not self._waiting:
            await self._idle()
            return
        apps = self._waiting
        began = time.monotonic()
        batch = await self._work(lambda: self.gatherer.take(apps))
        self._waiting = [app for app in apps if app in batch.more]
        if len(self._waiting) > 1:  # whoever comes first now was served
            self._waiting = self._waiting[1:] + self._waiting[:1]
        worked = time.monotonic() - began
        if batch.lines:
            self._sending = batch
            if not await self._deliver(batch):
                return
        if batch.move:
            self._received(batch)
            await self._save()
        if self._waiting:
            await self._sleep(worked)  # half of one core is for others, however much there is to send
        elif batch.lines:
            await self._sleep(float(self.config.delay))

    async def _note_news(self) -> None:
        """Which apps may have something."""
        now = time.monotonic()
        versions = dict(self._logs.versions)
        if now - self._looked >= limits.SHIP_LOOK:
            self._looked = now
            found = await self._work(self.gatherer.apps)
        else:
            wanted = self.config.apps
            found = [
                app for app, one in versions.items() if self._seen.get(app) != one and (not wanted or app in wanted)
            ]
        self._seen = versions
        self._waiting += [app for app in found if app not in self._waiting]

    async def _idle(self) -> None:
        """Wait for something to do."""
        await self._logs.news(limits.SHIP_NOTICE)
        if self._settling and self._settling[0][0] <= time.monotonic():
            if await self._sender.stands():
                self._settle()
                await self._save()
            else:
                self._failed("it broke the connection off")
                await self._give_back()
        elif self._logs.versions != self._seen:
            await self._sleep(float(self.config.delay))  # others may come with it

    # -- sending

    async def _deliver(self, batch: Batch) -> bool:
        """True: all of it was taken, or is refused for ever. False: it is to be taken from the store again."""
        parting = Parting(batch.lines, proven=self._proven)
        while (lines := parting.next()) is not None:
            answer = await self._until_answered(lines)
            if answer is None:
                return False
            parting.note(lines, answer)
            if answer.again:
                self._failed(f"it did not take {len(answer.again)} of {len(lines)} lines: {answer.again_why}")
                if not await self._wait(None):
                    return False
            elif not parting.doubtful:
                self._well()
        if parting.doubtful:
            self._failed(f"it refuses everything: {parting.why}")
            await self._give_back()
            await self._wait(None)
            return False
        self._proven = self._proven or parting.taken
        batch.refused = parting.refused
        if parting.refused:
            self._refused(parting.refused, parting.why)
        return True

    async def _until_answered(self, lines: Sequence[Line]) -> Answer | None:
        """None: the box stops, or what was received before is not safe either: back to the store."""
        body = await self._work(lambda: self._sender.encode(lines))
        while True:
            began = time.monotonic()
            try:
                answer = await self._sender.send(body, lines)
            except NotSent as failure:
                self._failed(failure.why)
                if self._sender.settles:
                    await self._give_back()
                await self._save()
                if not await self._wait(failure.after) or self._sender.settles:
                    return None
                continue
            self.cursor.counts.sent_bytes += len(body)
            if self.config.rate:
                await self._sleep(len(body) / self.config.rate - (time.monotonic() - began))
            return answer

    def _received(self, batch: Batch) -> None:
        """Safe at once, or soon."""
        self._sending = None
        self._settling.append((time.monotonic() + self._sender.settles if batch.lines else 0.0, batch))
        self._settle()

    def _settle(self, now: float | None = None) -> None:
        """Confirm what is safe by now (monotonic), the connection being there."""
        now = time.monotonic() if now is None else now
        while self._settling and self._settling[0][0] <= now:
            _, batch = self._settling.popleft()
            self.cursor.confirm(batch.move)
            if batch.lines:
                counts = self.cursor.counts
                counts.lines += len(batch.lines) - batch.refused
                counts.confirmed_at = time.time()
                counts.newest = max(counts.newest or 0.0, batch.newest or 0.0)

    async def _give_back(self) -> None:
        """All that is not confirmed is taken from the store again."""
        self._settling.clear()
        self._sending = None
        apps = await self._work(self.gatherer.back)
        self._waiting += [app for app in sorted(apps) if app not in self._waiting]

    # -- what went wrong

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._error, self._error_at = why, time.time()
        if why != self._told:
            self._told = why
            log.warning("cannot send logs to %s (%s): %s", self.config.name, self.config.url, why)

    def _well(self) -> None:
        if self._failures:
            log.info("logs go to %s again", self.config.name)
        self._failures, self._error, self._error_at, self._retry_at, self._told = 0, "", None, None, ""

    def _refused(self, lines: int, why: str) -> None:
        counts = self.cursor.counts
        counts.refused += lines
        if why != counts.refused_why:
            counts.refused_why = why
            log.warning("%s refuses %d lines, which are passed over: %s", self.config.name, lines, why)

    async def _wait(self, wish: float | None) -> bool:
        """The pause after a failure: it grows, and is never quite as long as another's. False: the box stops."""
        pause = min(self._pause * 2 ** min(self._failures - 1, 16), limits.SHIP_LONGEST_PAUSE)
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - so that boxes do not come all at once
        pause = max(pause, wish or 0.0)
        self._retry_at = time.time() + pause
        await self._sleep(pause)
        self._retry_at = None
        return not self._stopping.is_set()

    async def _sleep(self, seconds: float) -> None:
        """Not beyond the end."""
        if seconds > 0 and not self._stopping.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
            except TimeoutError:
                return

"""The leases that are open: begun, watched, and ended in time.

What always holds: every lease that is opened is audited and is ended and audited again, whatever happens in between,
and kept for whoever asks later; none is open longer than its time, or idle for longer than `[access] idle`; there are
never more than `[access] sessions`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from minipaas.forensics import limits
from minipaas.forensics.kept import Kept
from minipaas.forensics.recording import Recording
from minipaas.model.config import AccessConfig
from minipaas.model.errors import Invalid, MinipaasError, Missing
from minipaas.model.lease import Ending, Entry, Lease
from minipaas.model.observed import Instance
from minipaas.model.units import Duration
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)


class OpenLease:
    """One that is open. Whoever uses it calls `touch` at each sign of life, and stops when `over` returns."""

    def __init__(self, lease: Lease, seconds: float, idle: float, recording: Recording | None) -> None:
        self.lease = lease
        self.recording = recording
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        self._idle = idle
        self._alive = self._loop.time()
        self._ended = asyncio.Event()
        self.ending: Ending | None = None
        self.result = ""

    def touch(self) -> None:
        """Something went through it."""
        self._alive = self._loop.time()

    @property
    def left(self) -> float:
        """Seconds until it ends by itself, if nobody is idle."""
        return self._until - self._loop.time()

    def end(self, ending: Ending, result: str = "") -> None:
        """The first word counts."""
        if self.ending is None:
            self.ending, self.result = ending, result
        self._ended.set()

    async def over(self) -> Ending:
        """When it has ended, by its time, by idleness, or because somebody said so."""
        while self.ending is None:
            now = self._loop.time()
            if now >= self._until:
                self.end(Ending.EXPIRED, "its time was up")
            elif now >= self._alive + self._idle:
                self.end(Ending.IDLE, f"nothing happened for {Duration(self._idle)}")
            else:
                await self._pause(min(self._until, self._alive + self._idle) - now)
        return self.ending

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return


class Leases:
    """All that are open, and through `kept` those that are over."""

    def __init__(self, registry: Registry, kept: Kept, config: AccessConfig, clock: Callable[[], float] = time.time):
        self._registry = registry
        self._config = config
        self.now = clock
        self.kept = kept
        self._open: dict[str, OpenLease] = {}
        self._closed = False
        self._last_id = 0
        self.version = 0
        """Grows with everything that a page could show."""

    @property
    def open_now(self) -> tuple[Lease, ...]:
        """The newest first."""
        return tuple(one.lease for one in reversed(self._open.values()))

    @asynccontextmanager
    async def hold(
        self,
        kind: Entry,
        instance: Instance,
        *,
        what: str,
        actor: str,
        origin: str,
        reason: str,
        seconds: float | None,
        record: bool = False,
    ) -> AsyncIterator[OpenLease]:
        """A lease for as long as the block lasts. Raises Invalid (`access.time`, `access.reason`), MinipaasError
        (`access.busy`)."""
        seconds = self._checked(reason, seconds)
        now = self.now()
        lease = Lease(
            id=self._next_id(now),
            kind=kind,
            app=instance.app,
            service=instance.service,
            instance=instance.name,
            container=instance.id,
            actor=actor,
            origin=origin,
            reason=shown(reason),
            what=shown(what),
            started=now,
            until=now + seconds,
            recording=record and self._config.record,
        )
        recording = self.kept.record(lease) if lease.recording else None
        one = OpenLease(lease, seconds, self._config.idle, recording)
        self._open[lease.id] = one
        self.version += 1
        try:
            # before anything is done: who cannot be written down does not come in
            await self._audit(lease, f"opened {lease.id} for {Duration(round(seconds))}" + _because(lease))
            yield one
        except BaseException as error:
            one.end(*_by(error))
            raise
        finally:
            one.end(Ending.DONE)
            await asyncio.shield(self._finish(one))

    def revoke(self, lease: str, actor: str) -> None:
        """End one from outside. Raises Missing."""
        one = self._open.get(lease)
        if one is None:
            raise Missing(
                f"cannot end access {lease}: it is not open", hint="see: minipaas access list", code="access.not_open"
            )
        one.end(Ending.REVOKED, f"ended by {actor}")

    def get(self, lease: str) -> OpenLease | None:
        """An open one."""
        return self._open.get(lease)

    def close(self) -> None:
        """End all, and let nobody in any more."""
        self._closed = True
        for one in self._open.values():
            one.end(Ending.STOPPED, "minipaas stops, or another process of it takes over")

    def _next_id(self, now: float) -> str:
        """Twelve hex digits, in the order of time: seconds and fractions of them, no two alike."""
        self._last_id = max(int(now * 65536), self._last_id + 1)
        return f"{self._last_id:012x}"

    def _checked(self, reason: str, seconds: float | None) -> float:
        config = self._config
        if self._closed:
            raise MinipaasError(
                "cannot enter: minipaas is stopping", hint="try again in a moment", code="access.stopping"
            )
        if config.reason and not reason.strip():
            raise Invalid(
                "cannot enter: this box wants to know why", hint="say it with --reason TEXT", code="access.reason"
            )
        wanted = config.time if seconds is None else seconds
        if not 0 < wanted <= config.longest:
            raise Invalid(
                f"cannot enter for {Duration(wanted)}: the longest is {config.longest}",
                hint="[access] longest in config.toml says so",
                code="access.time",
            )
        if len(self._open) >= config.sessions:
            raise MinipaasError(
                f"cannot enter: {len(self._open)} accesses are open",
                hint="end one: minipaas access list, minipaas access end ID; or raise [access] sessions",
                code="access.busy",
            )
        return wanted

    async def _finish(self, one: OpenLease) -> None:
        now = self.now()
        ending = one.ending or Ending.DONE
        if one.recording is not None:
            await asyncio.to_thread(one.recording.close)
        lease = msgspec.structs.replace(one.lease, ended=now, ending=ending, result=shown(one.result))
        told = f"{'failed: ' if ending is Ending.FAILED else ''}{ending.value} after {now - lease.started:.1f} s"
        try:
            await self.kept.add(lease)
            await self._audit(lease, told + (f": {lease.result}" if lease.result else ""), ".end")
        except (MinipaasError, OSError) as error:
            log.warning("cannot write down that access %s has ended: %s", lease.id, error)
        finally:
            del self._open[lease.id]
            self.version += 1

    async def _audit(self, lease: Lease, result: str, end: str = "") -> None:
        await self._registry.audit(
            actor=lease.actor,
            action=f"access.{lease.kind}{end}",
            subject=f"{lease.instance.removeprefix('minipaas-')} {lease.what}".rstrip(),
            origin=lease.origin,
            result=result,
            now=self.now(),
            app=lease.app,
        )


def shown(text: str) -> str:
    """On one line, without what could move a cursor, and not too long."""
    line = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    return line if len(line) <= limits.SHOWN else line[: limits.SHOWN - 1] + "…"


def _because(lease: Lease) -> str:
    return f": {lease.reason}" if lease.reason else ""


def _by(error: BaseException) -> tuple[Ending, str]:
    """How an error ends a lease."""
    if isinstance(error, MinipaasError):
        return Ending.FAILED, error.message
    if isinstance(error, ConnectionError | TimeoutError):
        return Ending.LOST, "the connection broke off"
    if isinstance(error, asyncio.CancelledError):
        return Ending.LOST, ""
    return Ending.FAILED, "an error inside minipaas"

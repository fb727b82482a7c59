"""Taking a bundle in: stream, verify, admit, store, accept; in this order, and nothing is kept if one says no."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

from minipaas.bundle.limits import Limits
from minipaas.bundle.receive import BlobSink, receive
from minipaas.bundle.verify import Trust, Verdict
from minipaas.control.clock import trusted_time
from minipaas.control.named import Named
from minipaas.control.openings import Openings
from minipaas.control.pipe import ChunkPipe
from minipaas.model.change import Change, Desired
from minipaas.model.config import LimitsConfig
from minipaas.model.errors import Deadline, MinipaasError, NoSpace, Refused
from minipaas.model.release import Release
from minipaas.model.spec import RESERVED
from minipaas.model.units import Duration, human_bytes
from minipaas.registry.blobs import BlobStore
from minipaas.registry.clashes import refuse_clashes
from minipaas.registry.registry import Registry
from minipaas.registry.staging import Staging
from minipaas.registry.trust import numbered

log = logging.getLogger(__name__)

MARGIN = 60.0
"""Seconds that the reader of an upload waits longer than its sender may be silent."""
READ_AHEAD = 1024 * 1024
AT_ONCE = 2
"""Uploads under way at the same time; each has a thread and some megabytes of memory."""
BY_SIGNATURE = 1
"""Of these, those for which nothing but a signature speaks: strangers must not keep an operator from deploying."""
WAITING = 16
"""Uploads that may wait for their turn."""
TURN = 20.0
"""Seconds that they wait for it."""
UNVERIFIED = 120.0
"""Seconds in which an upload by signature must have shown its signature."""
REMEMBERED = 64
"""Changes whose warnings are remembered."""
COPIES = 2
"""A new layer lies on disk twice: in the blob store and unpacked in Podman's."""


class Parcel(NamedTuple):
    """A bundle that was verified and is whole in its staging, not accepted yet."""

    staging: Staging
    verdict: Verdict
    root: bytes
    """The newest trusted root.json when it was verified."""
    new: int
    """Bytes of it that this box did not have, uncompressed."""

    @property
    def release(self) -> Release:
        return self.verdict.release


class Intake:
    """Accepts bundles, a few at a time. One `store` lock keeps garbage collection away between storing blobs and
    accepting them."""

    def __init__(
        self, registry: Registry, blobs: BlobStore, limits: LimitsConfig, platform: str, openings: Openings
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._limits = limits
        self._platform = platform
        self._openings = openings
        self.touched: Callable[[str], frozenset[str]] = lambda app: frozenset()
        """The services of an app in whose instances somebody has been: a deploy replaces them."""
        self.store = asyncio.Lock()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._strangers = asyncio.Semaphore(BY_SIGNATURE)
        self._waiting = 0
        self._warned: dict[int, tuple[str, ...]] = {}
        self.promised = 0
        """Bytes of disk that bundles which wait will still need when they are deployed."""
        self._taking = 0
        self._resting = False
        self._rested = asyncio.Event()

    async def rest(self, patience: float) -> None:
        """Take nothing in any more, and wait for what is under way, at most `patience` seconds."""
        self._resting = True
        if self._taking:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._rested.wait()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def accept(
        self,
        stream: AsyncIterator[bytes],
        length: int | None,
        named: Named,
        *,
        actor: str,
        origin: str,
        by_signature: bool,
    ) -> Change:
        """Take in one bundle. `length` in bytes, or None. `named` hears which app it is of. Raises Refused, NoSpace,
        Deadline, and MinipaasError (upload.busy) when others come first: nothing is kept."""
        async with contextlib.AsyncExitStack() as turns:
            parcel = await self._verified(turns, stream, length, named, by_signature)
            try:
                if by_signature:
                    actor = f"signature {parcel.release.signers[0][:12]}"
                return await self.admit(parcel, actor=actor, origin=origin)
            finally:
                await asyncio.to_thread(parcel.staging.close)  # gigabytes may have to be deleted

    async def verified(
        self,
        stream: AsyncIterator[bytes],
        length: int | None,
        named: Named,
        judge: Callable[[Release, int], None],
    ) -> Parcel:
        """Take one bundle as far as it goes without accepting it. `judge` hears of the verified release and its new
        bytes before the first layer arrives, in a thread, and may refuse it. The caller closes its staging. Raises as
        `accept`."""
        async with contextlib.AsyncExitStack() as turns:
            return await self._verified(turns, stream, length, named, by_signature=False, judge=judge)

    async def admit(self, parcel: Parcel, *, actor: str, origin: str) -> Change:
        """Publish the blobs of a verified bundle, accept it, and begin to deploy it. What may have changed since it was
        verified is checked again. Raises Refused, Conflict, NoSpace; then nothing is different."""
        async with self.store:
            await asyncio.to_thread(parcel.staging.publish)
            change = await self._registry.accept(
                parcel.release,
                new_roots=[root for _, root in parcel.verdict.new_roots],
                trusted_root=numbered(parcel.root)[0],
                actor=actor,
                origin=origin,
                now=time.time(),
                clean=self.touched(parcel.release.app),
            )
        await self._warn(parcel.verdict, change, origin)
        return change

    def warnings(self, change: int) -> tuple[str, ...]:
        """What the verifier let pass of the bundle that began this change, as long as it is remembered."""
        return self._warned.get(change, ())

    def need_room(self, release: Release, new: int) -> None:
        """Raises NoSpace unless so many bytes, and what is promised to bundles that wait, fit beside the reserve."""
        needed, free = new + self.promised + self._limits.reserve, self._blobs.free_bytes()
        if needed > free:
            raise NoSpace(
                f"cannot accept {release.app} {release.version}: it needs {human_bytes(needed)} of disk and"
                f" {human_bytes(free)} are free",
                hint="remove an app that is no longer needed (minipaas remove APP), or make room on the disk",
                code="disk.small",
            )

    async def _verified(
        self,
        turns: contextlib.AsyncExitStack,
        stream: AsyncIterator[bytes],
        length: int | None,
        named: Named,
        by_signature: bool,
        judge: Callable[[Release, int], None] | None = None,
    ) -> Parcel:
        """Wait for a turn, then take one bundle."""
        if length is not None and length > self._limits.bundle:
            raise self._too_large()
        if self._resting:
            raise MinipaasError(
                "cannot accept the bundle: minipaas is being started anew", hint="try again soon", code="upload.busy"
            )
        turns.callback(self._taken)
        self._taking += 1
        await self._turn(turns, by_signature)
        return await self._take_in(stream, named, by_signature, judge)

    async def receive_own(
        self, stream: AsyncIterator[bytes], length: int | None, sink: BlobSink, admit: Callable[[Verdict], None]
    ) -> tuple[Verdict, int]:
        """Verify a bundle of minipaas itself, and give its blobs to `sink` alone once `admit` has let it pass. Returns
        the verdict and the version of the root that it started from. Raises as `accept` does."""
        if length is not None and length > self._limits.bundle:
            raise self._too_large()
        roots = await self._registry.roots()
        trust = await self._trust(roots)
        bounds = Limits(compressed=self._limits.bundle)
        async with contextlib.AsyncExitStack() as turns:
            await self._turn(turns, False)
            verdict = await self._receive(
                stream, lambda file: receive(file, sink, trust, bounds, on_verified=admit), None
            )
        return verdict, numbered(roots[-1])[0]

    def _taken(self) -> None:
        self._taking -= 1
        if self._resting and not self._taking:
            self._rested.set()

    async def _turn(self, turns: contextlib.AsyncExitStack, by_signature: bool) -> None:
        """Wait for a turn; `turns` ends it."""
        busy = MinipaasError(
            "cannot accept the bundle: the box is busy with other uploads", hint="try again soon", code="upload.busy"
        )
        if self._waiting >= WAITING:
            raise busy
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN):
                if by_signature:
                    await turns.enter_async_context(self._strangers)
                await turns.enter_async_context(self._turns)
        except TimeoutError:
            raise busy from None
        finally:
            self._waiting -= 1

    async def _take_in(
        self,
        stream: AsyncIterator[bytes],
        named: Named,
        by_signature: bool,
        judge: Callable[[Release, int], None] | None,
    ) -> Parcel:
        roots = await self._registry.roots()
        trust = await self._trust(roots)
        bounds = Limits(compressed=self._limits.bundle)
        staging = self._blobs.stage()
        try:
            verified = threading.Event()
            new: list[int] = []
            admit = self._admission(staging.has, await self._registry.desired(), verified, new, judge)
            verdict = await self._receive(
                stream,
                lambda file: receive(
                    file, staging, trust, bounds, on_read=named.read, on_signed=named.signed, on_verified=admit
                ),
                verified if by_signature else None,
            )
        except BaseException:
            await asyncio.to_thread(staging.close)
            raise
        return Parcel(staging, verdict, roots[-1], sum(new))

    async def _warn(self, verdict: Verdict, change: Change, origin: str) -> None:
        """What was let pass and is not quite right goes into the log and the audit. Never fails: it is accepted."""
        subject = f"{verdict.release.app} {verdict.release.version}"
        if verdict.warnings:
            self._warned[change.id] = verdict.warnings
            self._warned = dict(list(self._warned.items())[-REMEMBERED:])
        for warning in verdict.warnings:
            log.warning("%s: %s", subject, warning)
            try:
                await self._registry.audit(
                    actor=change.actor,
                    action="deploy",
                    subject=subject,
                    origin=origin,
                    result=f"warned: {warning}",
                    now=time.time(),
                    app=change.app,
                )
            except MinipaasError as error:
                log.warning("cannot audit that: %s", error.message)

    async def _trust(self, roots: Sequence[bytes]) -> Trust:
        if not roots:
            raise Refused(
                "cannot accept a bundle: this box trusts nobody yet",
                hint="give it the author's root: minipaas trust add root.json",
                code="root.none",
            )
        return Trust(
            root=roots[-1],
            floors=await self._registry.floors(),
            accepted=await self._registry.newest(),
            time=trusted_time(await self._registry.time_floor()),
            platform=self._platform,
        )

    def _admission(
        self,
        has: Callable[[str], bool],
        desired: Desired,
        verified: threading.Event,
        told: list[int],
        judge: Callable[[Release, int], None] | None,
    ) -> Callable[[Verdict], None]:
        def admit(verdict: Verdict) -> None:
            """Whether there is room, and routes and ports are free, decided before the first layer arrives. `told`
            hears how many bytes are new."""
            verified.set()
            if verdict.release.app == RESERVED:
                raise Refused(
                    f"cannot deploy {RESERVED}: this is a bundle of minipaas itself, which is no app",
                    hint="upgrade this box with it: minipaas upgrade FILE",
                    code="self.not_an_app",
                )
            refuse_clashes(verdict.release, desired)
            self._openings.refuse(verdict.release, desired)
            new = sum(size for digest, size in verdict.descriptors.items() if not has(digest))
            told.append(new)
            if judge is not None:
                judge(verdict.release, new)
            self.need_room(verdict.release, COPIES * new)

        return admit

    async def _receive(
        self, stream: AsyncIterator[bytes], work: Callable[[BinaryIO], Verdict], verified: threading.Event | None
    ) -> Verdict:
        """Feed the stream to `work` in a thread. An early refusal does not wait for the rest of the stream. Who has to
        be `verified` first has only so long for it."""
        pipe = ChunkPipe(patience=self._limits.silence + MARGIN)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, work, io.BufferedReader(pipe, READ_AHEAD))
        feeding = loop.create_task(self._feed(stream, pipe), name="upload")
        timer = loop.call_later(UNVERIFIED, _hurry, pipe, verified) if verified is not None else None
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            pipe.finish(Refused("cannot accept the bundle: the upload was called off", code="upload.cut"))
            raise
        finally:
            if timer is not None:
                timer.cancel()
            feeding.cancel()
            await asyncio.gather(working, feeding, return_exceptions=True)

    async def _feed(self, stream: AsyncIterator[bytes], pipe: ChunkPipe) -> None:
        total = 0
        try:
            async with asyncio.timeout(self._limits.upload):
                while True:
                    chunk = await self._next(stream)
                    if not chunk:
                        break
                    total += len(chunk)
                    if total > self._limits.bundle:
                        raise self._too_large()
                    await pipe.feed(chunk)
            pipe.finish()
        except MinipaasError as error:
            pipe.finish(error)
        except TimeoutError:
            took = Duration(self._limits.upload)
            pipe.finish(
                Deadline(
                    f"cannot accept the bundle: it was not here within {took}",
                    hint="send it over a faster line, or raise limits.upload in config.toml",
                    code="upload.slow",
                )
            )
        except Exception as error:  # whatever the connection died of: the reader must not wait for more
            why = f"cannot accept the bundle: the upload was cut after {human_bytes(total)} ({type(error).__name__})"
            pipe.finish(Refused(why, hint="send it again", code="upload.cut"))

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes:
        """The next chunk, empty at the end. Raises Deadline when none comes."""
        try:
            async with asyncio.timeout(self._limits.silence):
                return await anext(stream, b"")
        except TimeoutError:
            pause = Duration(self._limits.silence)
            raise Deadline(
                f"cannot accept the bundle: its sender went silent for {pause}",
                hint="send it again; what has arrived was thrown away",
                code="upload.silent",
            ) from None

    def _too_large(self) -> MinipaasError:
        return Refused(
            f"cannot accept the bundle: it is larger than {human_bytes(self._limits.bundle)}",
            hint="raise limits.bundle in config.toml",
            code="upload.too_large",
        )


def _hurry(pipe: ChunkPipe, verified: threading.Event) -> None:
    if not verified.is_set():
        why = f"cannot accept the bundle: its signature was not here within {UNVERIFIED:g} seconds"
        pipe.finish(Deadline(why, hint="send it over a faster line", code="upload.slow"))

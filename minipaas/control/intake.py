"""Taking a bundle in: stream, verify, admit, store, accept; in this order, and nothing is kept if one says no."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import BinaryIO

from minipaas.bundle.receive import receive
from minipaas.bundle.verify import Trust, Verdict
from minipaas.control.clock import trusted_time
from minipaas.control.pipe import ChunkPipe
from minipaas.model.change import Change
from minipaas.model.config import LimitsConfig
from minipaas.model.errors import Deadline, MinipaasError, NoSpace, Refused
from minipaas.model.units import human_bytes
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.registry.trust import numbered

SILENCE = 60.0
"""Seconds without a byte after which an upload is given up."""
READ_AHEAD = 1024 * 1024
COPIES = 2
"""A new layer lies on disk twice: in the blob store and unpacked in Podman's."""


class Intake:
    """Accepts bundles. One `store` lock keeps garbage collection away between storing blobs and accepting them."""

    def __init__(self, registry: Registry, blobs: BlobStore, limits: LimitsConfig, platform: str) -> None:
        self._registry = registry
        self._blobs = blobs
        self._limits = limits
        self._platform = platform
        self.store = asyncio.Lock()

    async def accept(
        self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str, by_signature: bool
    ) -> Change:
        """Take in one bundle. `length` in bytes, or None. Raises Refused, NoSpace, Deadline: nothing is kept."""
        if length is not None and length > self._limits.bundle:
            raise self._too_large()
        roots = await self._registry.roots()
        trust = await self._trust(roots)
        with self._blobs.stage() as staging:
            admit = self._admission(staging.has)
            verdict = await self._receive(stream, lambda file: receive(file, staging, trust, on_verified=admit))
            async with self.store:
                await asyncio.to_thread(staging.publish)
                return await self._registry.accept(
                    verdict.release,
                    new_roots=[root for _, root in verdict.new_roots],
                    trusted_root=numbered(roots[-1])[0],
                    actor=f"signature {verdict.release.signers[0][:12]}" if by_signature else actor,
                    origin=origin,
                    now=time.time(),
                )

    async def _trust(self, roots: Sequence[bytes]) -> Trust:
        if not roots:
            raise Refused(
                "cannot accept a bundle: this box trusts nobody yet",
                hint="give it the author's root: minipaas trust add root.json",
                code="trust.none",
            )
        return Trust(
            root=roots[-1],
            floors=await self._registry.floors(),
            accepted=await self._registry.newest(),
            time=trusted_time(await self._registry.time_floor()),
            platform=self._platform,
        )

    def _admission(self, has: Callable[[str], bool]) -> Callable[[Verdict], None]:
        def admit(verdict: Verdict) -> None:
            """Whether there is room, decided before the first layer arrives."""
            new = sum(size for digest, size in verdict.descriptors.items() if not has(digest))
            needed, free = COPIES * new + self._limits.reserve, self._blobs.free_bytes()
            if needed > free:
                release = verdict.release
                raise NoSpace(
                    f"cannot accept {release.app} {release.version}: it needs {human_bytes(needed)} of disk and"
                    f" {human_bytes(free)} are free",
                    hint="remove an app that is no longer needed (minipaas remove APP), or make room on the disk",
                    code="disk.small",
                )

        return admit

    async def _receive(self, stream: AsyncIterator[bytes], work: Callable[[BinaryIO], Verdict]) -> Verdict:
        """Feed the stream to `work` in a thread. An early refusal does not wait for the rest of the stream."""
        pipe = ChunkPipe()
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(None, work, io.BufferedReader(pipe, READ_AHEAD))
        feeding = loop.create_task(self._feed(stream, pipe), name="upload")
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            pipe.finish(Refused("cannot accept the bundle: the upload was called off", code="upload.cut"))
            raise
        finally:
            feeding.cancel()
            await asyncio.gather(working, feeding, return_exceptions=True)

    async def _feed(self, stream: AsyncIterator[bytes], pipe: ChunkPipe) -> None:
        total = 0
        try:
            async with asyncio.timeout(self._limits.upload):
                while True:
                    async with asyncio.timeout(SILENCE):
                        chunk = await anext(stream, b"")
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
            pipe.finish(Deadline("cannot accept the bundle: the upload took too long", hint="send it again"))
        except Exception as error:  # whatever the connection died of: the reader must not wait for more
            why = f"cannot accept the bundle: the upload was cut after {human_bytes(total)} ({type(error).__name__})"
            pipe.finish(Refused(why, hint="send it again", code="upload.cut"))

    def _too_large(self) -> MinipaasError:
        return Refused(
            f"cannot accept the bundle: it is larger than {human_bytes(self._limits.bundle)}",
            hint="raise limits.bundle in config.toml",
            code="upload.too_large",
        )

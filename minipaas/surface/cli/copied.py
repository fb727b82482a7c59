"""The client's side of a copy: a tar made here or taken apart here, over a WebSocket."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from minipaas.model.errors import MinipaasError, Missing
from minipaas.model.lease import Ending
from minipaas.surface.channel import Channel
from minipaas.surface.cli.unpack import unpack
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import CopyFiles, Ended, InputEnds, Opened, Place

PIECE = 64 * 1024
Progress = Callable[[int], None]


def copied(box: Box, app: str, wanted: CopyFiles, here: Path, progress: Progress) -> int:
    """Copy between `here` and `wanted.path`. Returns the bytes that travelled."""
    if wanted.into and not (here.exists() or here.is_symlink()):
        raise Missing(f"cannot copy {here}: it is not there", code="cli.no_file")
    return asyncio.run(_copied(box, app, wanted, here, progress))


async def _copied(box: Box, app: str, wanted: CopyFiles, here: Path, progress: Progress) -> int:
    async with Channel.open(box, f"/apps/{segment(app)}/files") as channel:
        await channel.send(wanted)
        if not isinstance(await channel.receive(), Opened):
            raise MinipaasError("cannot understand the answer: it does not begin", code="cli.answer")
        pipe = _Pipe(channel, progress)
        if not wanted.into:
            name = "" if wanted.path.endswith("/.") else Path(wanted.path).name
            await pipe.give_to(lambda stream: unpack(stream, here, name))
            return pipe.total
        place = await channel.receive()
        if not isinstance(place, Place):
            raise MinipaasError("cannot understand the answer: no place", code="cli.answer")
        await pipe.take_from(lambda stream: _pack(stream, here, place.name))
        return pipe.total


def _pack(stream: io.RawIOBase, here: Path, name: str | None) -> None:
    """`here` as a tar; owners stay behind, and what is neither file, directory nor link."""
    contents = str(here).endswith("/.") or here.name in ("", "..")
    source = here.resolve()
    root = name or ("." if contents else here.name)

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(fileobj=stream, mode="w|", bufsize=PIECE, format=tarfile.PAX_FORMAT) as tar:
        tar.add(source, arcname=root, filter=plain)


class _Pipe(io.RawIOBase):
    """A file for tarfile, which waits in a thread, at the end of a channel, which lives on the event loop."""

    def __init__(self, channel: Channel, progress: Progress) -> None:
        super().__init__()
        self._channel = channel
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._ended = False
        self.total = 0

    async def give_to(self, work: Callable[[_Pipe], None]) -> None:
        """Let `work` read all that comes. Raises what the box says, and what `work` raises."""
        await asyncio.to_thread(work, self)
        while not self._ended:  # the padding behind the end of a tar
            await self._next()

    async def take_from(self, work: Callable[[_Pipe], None]) -> None:
        """Send all that `work` writes, and hear how it went. The box may say no before the end."""
        sending = asyncio.create_task(asyncio.to_thread(work, self), name="tar")
        hearing = asyncio.create_task(self._verdict(), name="verdict")
        await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if hearing.done():
                self._ended = True
                self._channel.give_up()
            else:
                sending.result()
                await self._channel.send(InputEnds())
            await hearing
        finally:
            hearing.cancel()
            self._channel.give_up()
            await asyncio.gather(sending, hearing, return_exceptions=True)

    async def _verdict(self) -> None:
        while not self._ended:
            await self._next()

    async def _next(self) -> bytes:
        message = await self._channel.receive()
        if isinstance(message, Ended):
            if message.ending is not Ending.DONE:
                raise MinipaasError(f"cannot go on with the copy: {message.text}", code="access.ended")
            self._ended = True
            return b""
        if not isinstance(message, bytes):
            raise MinipaasError("cannot understand the answer: no bytes", code="cli.answer")
        self.total += len(message)
        self._progress(self.total)
        return message

    # --- in the thread

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest and not self._ended:
            self._rest = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def write(self, data: bytes) -> int:  # type: ignore[override]
        for start in range(0, len(data), PIECE):
            piece = bytes(data[start : start + PIECE])
            if self._ended:
                raise MinipaasError("cannot send: the box has said no", code="access.ended")
            asyncio.run_coroutine_threadsafe(self._channel.send_bytes(piece), self._loop).result()
            self.total += len(piece)
            self._progress(self.total)
        return len(data)

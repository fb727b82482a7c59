"""Files of a container as a tar stream, in and out: the one place that asks for `containers/NAME/archive` (Podman API).
Volumes and mounts are seen as the container sees them, while it runs and when it has ended.

What always holds: Podman itself keeps what is written within the container's root; a stream that breaks off in either
direction is an error and never looks like an end.
"""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
from msgspec import Struct

from minipaas.engine import limits
from minipaas.engine.pieces import Pieces
from minipaas.engine.session import Session
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError

_STAT = "X-Docker-Container-Path-Stat"


class PathStat(Struct, frozen=True):
    """What a path of a container is; of a link, what it leads to."""

    name: str = ""
    size: int = 0
    directory: bool = msgspec.field(name="isDir", default=False)


class Archive:
    """The files of containers."""

    def __init__(self, session: Session, streams: Streams) -> None:
        self._session = session
        self._streams = streams

    async def stat(self, container: str, path: str) -> PathStat | None:
        """None: there is no such path. Raises EngineError."""
        what = f"look at {path}"
        params = {"path": path}
        try:
            async with self._streams.open(what, "HEAD", _target(container), params=params, total=limits.CALL) as answer:
                return msgspec.json.decode(base64.b64decode(answer.headers.get(_STAT, "")), type=PathStat)
        except EngineError as error:
            if error.code == "engine.missing":
                return None
            raise
        except ValueError as error:  # base64's, and msgspec's
            raise EngineError(f"cannot {what}: Podman's answer makes no sense: {error}", code="engine.answer") from None

    @asynccontextmanager
    async def read(self, container: str, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A file, or a directory with all in it, under its last name. Raises EngineError (`engine.missing`)."""
        async with self._streams.open(
            f"read {path}", "GET", _target(container), params={"path": path}, silence=limits.EXPORT
        ) as answer:
            yield answer.content.iter_chunked(limits.PIECE)

    @contextmanager
    def tar(self, container: str, path: str) -> Iterator[tarfile.TarFile]:
        """A file or directory as a tar to read from front to back; the directory itself comes first, its members are
        named from its last part on. Blocking, for a thread. Raises EngineError, Deadline, tarfile.TarError."""
        what = f"read {path} of a container"
        pieces = self._session.stream(what, "GET", _target(container), params={"path": path}, timeout=limits.SCENE)
        with (
            io.BufferedReader(Pieces(pieces), 256 * 1024) as file,
            tarfile.open(fileobj=file, mode="r|") as archive,
        ):
            yield archive

    async def write(self, container: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        """A tar into a directory; what is there already is replaced. Owner is the user that the container runs as.
        Raises EngineError (`engine.missing`, `engine.read_only`), and what `chunks` raises."""
        await self._streams.send(
            f"write into {path}", "PUT", _target(container), chunks, params={"path": path}, silence=limits.EXPORT
        )


def _target(container: str) -> str:
    return f"containers/{container}/archive"


async def from_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What is made piece by piece in a thread: read from a file, decompressed."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece

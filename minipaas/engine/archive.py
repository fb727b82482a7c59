"""Files of a container as a tar stream, in and out (Podman API, `containers/NAME/archive`). Volumes and mounts are seen
as the container sees them, also while it runs.

What always holds: Podman itself keeps what is written within the container's root; a stream that breaks off in either
direction is an error and never looks like an end.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from minipaas.engine import limits
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError, MinipaasError

_STAT = "X-Docker-Container-Path-Stat"


class PathStat(Struct, frozen=True):
    """What a path of a container is; of a link, what it leads to."""

    name: str = ""
    size: int = 0
    directory: bool = msgspec.field(name="isDir", default=False)


class Archive:
    """The files of containers."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def stat(self, container: str, path: str) -> PathStat | None:
        """None: there is no such path. Raises EngineError."""
        what = f"look at {path}"
        target = f"containers/{container}/archive"
        try:
            async with self._streams.open(what, "HEAD", target, params={"path": path}, total=limits.CALL) as answer:
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
            f"read {path}", "GET", f"containers/{container}/archive", params={"path": path}, silence=limits.EXPORT
        ) as answer:
            yield answer.content.iter_chunked(limits.PIECE)

    async def write(self, container: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        """A tar into a directory; what is there already is replaced. Owner is the user that the container runs as.
        Raises EngineError (`engine.missing`, `engine.read_only`), and what `chunks` raises."""
        failures: list[MinipaasError] = []

        async def guarded() -> AsyncIterator[bytes]:
            """aiohttp tells of an error in here as one of the connection."""
            try:
                async for chunk in chunks:
                    yield chunk
            except MinipaasError as error:
                failures.append(error)
                raise

        try:
            async with self._streams.open(
                f"write into {path}",
                "PUT",
                f"containers/{container}/archive",
                params={"path": path},
                data=guarded(),
                silence=limits.EXPORT,
            ) as answer:
                await answer.read()
        except EngineError as error:
            raise (failures or [error])[0] from None

"""Podman over aiohttp on the same socket: what holds a connection open for long (events, exec, waiting for an end).

One session; a thread per stream would not scale. Every use has a deadline of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from minipaas.engine import limits
from minipaas.engine.causes import dropped, explain, podman_text, unreachable
from minipaas.engine.session import PREFIX, Params, flags, too_long
from minipaas.model.errors import EngineError, MinipaasError


class Streams:
    """Requests from the event loop, without a thread."""

    def __init__(self, socket: str) -> None:
        self.socket = socket.removeprefix("unix://")
        connector = aiohttp.UnixConnector(self.socket, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def close(self) -> None:
        await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        data: AsyncIterator[bytes] | None = None,
        total: float | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose status is good. Raises EngineDown, EngineError, Deadline, also from within the block.
        `data`: a tar as the body, in place of `json`."""
        headers: Mapping[str, str] = {"Content-Type": "application/json"} if json is not None else {}
        body: Any = msgspec.json.encode(json) if json is not None else data
        if data is not None:
            headers = {"Content-Type": "application/x-tar"}
        timeout = aiohttp.ClientTimeout(total=total, sock_read=silence, sock_connect=limits.CALL)
        url = f"http://podman{PREFIX}{path}"
        try:
            async with self._session.request(
                method, url, params=flags(params), data=body, headers=headers, timeout=timeout
            ) as answer:
                if answer.status >= 400:
                    raise explain(what, podman_text(await answer.read()), answer.status)
                yield answer
        except aiohttp.ClientConnectorError:
            raise unreachable(self.socket) from None
        except TimeoutError:
            raise too_long(what, total or silence or 0) from None
        except (aiohttp.ClientError, OSError):
            raise dropped(what) from None

    async def read(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        timeout: float = limits.CALL,  # noqa: ASYNC109
        most: int = limits.MAX_ANSWER,
    ) -> bytes:
        """A whole body of at most `most` bytes; what is beyond is cut off."""
        parts: list[bytes] = []
        size = 0
        async with self.open(what, method, path, params=params, json=json, total=timeout) as answer:
            async for part in answer.content.iter_chunked(64 * 1024):
                parts.append(part[: most - size])
                size += len(part)
                if size >= most:
                    break
        return b"".join(parts)

    async def send(
        self,
        what: str,
        method: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        params: Params | None = None,
        silence: float,
    ) -> bytes:
        """A tar out of chunks; the answer. Raises also what `chunks` raises."""
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
            async with self.open(what, method, path, params=params, data=guarded(), silence=silence) as answer:
                return await answer.read()
        except EngineError as error:
            raise (failures or [error])[0] from None

    async def lines(self, what: str, path: str, *, params: Params, silence: float) -> AsyncIterator[bytes]:
        """A stream's lines; ends when Podman ends it. Raises Deadline after `silence` seconds without a byte."""
        rest = b""
        async with self.open(what, "GET", path, params=params, silence=silence) as answer:
            async for chunk in answer.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
                if len(rest) > limits.MAX_LINE:
                    raise EngineError(f"cannot {what}: a line is longer than {limits.MAX_LINE} bytes")


async def wait_for_exit(streams: Streams, container: str, name: str, timeout: float) -> int | None:  # noqa: ASYNC109
    """The exit code once a container has ended; None when it still runs after `timeout` seconds."""
    what = f"wait for {name}"
    deadline = asyncio.get_running_loop().time() + timeout
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            async with asyncio.timeout(min(left, limits.HOOK_WAIT_SLICE)):
                params = {"condition": "exited"}
                body = await streams.read(what, "POST", f"containers/{container}/wait", params=params, timeout=left + 5)
        except TimeoutError:
            continue
        return int(body)
    return None

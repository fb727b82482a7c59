"""Lines over HTTP: one request a batch, over a connection that is kept.

What always holds: a request and its answer have an end in time and size; no redirect is followed, for it could lead
credentials and logs elsewhere; files of certificates and credentials are read when they are needed, so that new ones
count at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Sequence

import aiohttp

from minipaas.model.logs import Line
from minipaas.model.shipping import ShipConfig
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.answer import Answer, Format, NotSent, told
from minipaas.telemetry.shipping.origin import gently
from minipaas.telemetry.shipping.trust import authorization_of, context_of, words_of

_GZIP = 31
"""zlib's window bits for a gzip header."""


class Http:
    """Made and used on the event loop; `encode` on any thread."""

    settles = 0.0

    def __init__(self, config: ShipConfig, form: Format) -> None:
        self._config = config
        self._form = form
        self._session: aiohttp.ClientSession | None = None
        base = config.url.rstrip("/")
        bare = form.path.partition("?")[0]
        self._url = base.removesuffix(bare) + form.path

    def encode(self, lines: Sequence[Line]) -> bytes:
        """The body, compressed."""
        body = self._form.encode(gently(lines))
        if not self._config.compress:
            return body
        packer = zlib.compressobj(level=1, wbits=_GZIP)
        return packer.compress(body) + packer.flush()

    async def send(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """One request. Raises NotSent."""
        try:
            async with asyncio.timeout(limits.SHIP_ANSWER + self._patience(len(body))):
                if self._session is not None:
                    with contextlib.suppress(aiohttp.ServerDisconnectedError, ConnectionError):
                        return await self._post(self._session, body, lines)
                    await self.close()  # nobody had used it for a while, and the other side has closed it
                self._session = await self._open()
                return await self._post(self._session, body, lines)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise NotSent(words_of(error)) from None

    async def _post(self, session: aiohttp.ClientSession, body: bytes, lines: Sequence[Line]) -> Answer:
        headers = await asyncio.to_thread(self._headers, len(body))
        async with session.post(self._url, data=_pieces(body), headers=headers, allow_redirects=False) as answer:
            return self._judge(answer, await _read(answer), lines)

    async def stands(self) -> bool:
        """What was answered is safe, whatever becomes of the connection."""
        return True

    async def rest(self) -> bool:
        """What was answered is safe."""
        return True

    async def close(self) -> None:
        """The connection; the next request opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> aiohttp.ClientSession:
        context: ssl.SSLContext | bool = True
        if self._config.where.scheme == "https":
            context = await asyncio.to_thread(context_of, self._config)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=1, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=limits.SHIP_CONNECT, connect=2 * limits.SHIP_CONNECT
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    def _patience(self, size: int) -> float:
        """What a thin link needs beside."""
        return size / self._config.rate if self._config.rate else 0.0

    def _headers(self, size: int) -> dict[str, str]:
        headers = {"Content-Type": self._form.media, "Content-Length": str(size), "User-Agent": "minipaas"}
        if self._config.compress:
            headers["Content-Encoding"] = "gzip"
        if self._config.tenant:
            headers["X-Scope-OrgID"] = self._config.tenant
        if self._config.credentials:
            headers["Authorization"] = authorization_of(self._config.credentials)
        return headers

    def _judge(self, answer: aiohttp.ClientResponse, content: bytes, lines: Sequence[Line]) -> Answer:
        status = answer.status
        said = told(content[: 4 * limits.SHIP_WHY].decode(errors="replace"))
        if 200 <= status < 300:
            return self._form.judge(content, lines)
        if status in (400, 413, 422):
            known = self._form.refusal(content, lines) if status == 400 else None
            return known or Answer(split=True, why=f"{said or answer.reason} ({status})")
        raise NotSent(_words(status, answer, said), _wish(answer.headers.get("Retry-After", "")))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """So that a large one lets others have their turn."""
    for begins in range(0, len(body), limits.SHIP_PIECE):
        yield body[begins : begins + limits.SHIP_PIECE]


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > limits.SHIP_ANSWER_BYTES:
            raise NotSent("its answer is too long")
    return bytes(content)


def _words(status: int, answer: aiohttp.ClientResponse, said: str) -> str:
    match status:
        case 401 | 403:
            return f"it does not accept who we say we are ({status}): see credentials"
        case 404 | 405:
            return f"it takes no logs at that address ({status}): see url"
        case _ if 300 <= status < 400:
            where = told(answer.headers.get("Location", "elsewhere"))
            return f"it sends us to {where} ({status}); name the address itself: url"
        case 408 | 429 | 502 | 503 | 504:
            return f"it cannot take more just now ({status})"
        case _:
            return f"it fails: {said or answer.reason} ({status})"


def _wish(text: str) -> float | None:
    """Retry-After, in seconds (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), limits.SHIP_LONGEST_WISH))
    moment = email.utils.parsedate_tz(text) if text else None
    if moment is None:
        return None
    return max(0.0, min(email.utils.mktime_tz(moment) - time.time(), limits.SHIP_LONGEST_WISH))

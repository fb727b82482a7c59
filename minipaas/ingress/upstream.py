"""One connection to an instance: carries one answer at a time to the client that waits for it.

    FREE ──request──> HEAD ──head──> LENGTH | CHUNKED | UNTIL_CLOSE ──end──> FREE (or closed)
                       └──101──> TUNNEL ──either side ends──> closed

What always holds: a connection is FREE exactly while it is in its pool's `idle`, and only after an answer whose end was
certain and after which nothing followed; `client` is set exactly in the other stages. Body bytes go on as they come.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from minipaas.ingress import answer as answers
from minipaas.ingress.answer import Answer
from minipaas.ingress.chunked import ChunkedBody

if TYPE_CHECKING:
    from minipaas.ingress.exchange import Exchange
    from minipaas.ingress.pool import Pool

FREE, HEAD, LENGTH, CHUNKED, UNTIL_CLOSE, TUNNEL, GONE = range(7)
_JOIN = 16 * 1024
"""Up to so many bytes of body are copied behind the head, to be one write; more are a write of their own."""


class Upstream(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_chunks",
        "_left",
        "client",
        "core",
        "pool",
        "served",
        "since",
        "spoke",
        "stage",
        "transport",
    )

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.core = pool.core
        self.transport: asyncio.Transport
        self.client: Exchange | None = None
        self.stage = GONE
        self.served = 0
        """Answers so far: with one or more, the other end may be closing the connection just now."""
        self.spoke = False
        """Something of the present answer has arrived."""
        self.since = 0.0
        self._answer: Answer | None = None
        self._buffer = b""
        self._left = 0
        self._chunks: ChunkedBody | None = None

    # -- called by the client

    def send(self, client: Exchange, head: bytes) -> None:
        """Write a request's head; the answer goes to `client`."""
        self.client = client
        self.stage = HEAD
        self.spoke = False
        self.transport.write(head)

    def drop(self, politely: bool = False) -> None:
        """Close, at once or when all is written; the client hears nothing more."""
        self.client = None
        if self.stage == FREE:
            self.pool.idle.remove(self)
        self.stage = GONE
        if politely:
            self._close()
        else:
            self.transport.abort()

    def _close(self) -> None:
        """Write what is left; one that does not take it in time is not waited for."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.core.loop.call_later(self.core.limits.linger, self.transport.abort)

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        limits = self.core.limits
        self.transport.set_write_buffer_limits(limits.write_high, limits.write_low)

    def data_received(self, data: bytes) -> None:
        client = self.client
        stage = self.stage
        if client is None:
            # Bytes that nobody asked for: whatever would come next, it is not the answer to the next request.
            if stage != GONE:
                self.drop()
        elif stage == HEAD:
            self._head(client, data)
        else:
            client.since = self.core.now
            if stage == LENGTH:
                self._left -= len(data)
                if self._left > 0:
                    client.transport.write(data)
                elif self._left == 0:
                    client.transport.write(data)
                    self._done(client, True)
                else:
                    client.transport.write(data[: self._left])
                    self._done(client, False)
            elif stage == CHUNKED:
                self._chunked(client, data)
            elif stage == UNTIL_CLOSE:
                self._wrap(client, data)
            else:
                client.transport.write(data)

    def eof_received(self) -> bool:
        if self.stage == TUNNEL and self.client is not None:
            return self.client.half_closed(by_client=False)
        if self.stage == FREE:
            # At once, not when the transport has closed: no request must be given to it any more.
            self.drop()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        client, self.client = self.client, None
        stage, self.stage = self.stage, GONE
        if stage == FREE:
            self.pool.idle.remove(self)
        if client is None:
            return
        if stage == UNTIL_CLOSE and exc is None:
            if not client.request.old:
                client.transport.write(b"0\r\n\r\n")
            client.answered()
        else:
            client.lost(self, stage == HEAD)

    def pause_writing(self) -> None:
        if self.client is not None:
            self.client.pause_upload()

    def resume_writing(self) -> None:
        if self.client is not None:
            self.client.resume_upload()

    # -- the answer

    def _head(self, client: Exchange, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self.spoke = True
        limits = self.core.limits
        for _ in range(limits.interims):
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > limits.answer_head:
                if len(data) > limits.answer_head:
                    break
                self._buffer = data
                return
            answer = self._answer
            if answer is None or not data.startswith(answer.raw):
                answer = answers.parse(data[:end], limits.fields)
                if answer is None:
                    break
                self._answer = answer
            if answer.status >= 200:
                self._final(client, answer, data, end)
                return
            data = data[end:]
            if answer.status == 101:
                self._switch(client, answer, data)
                return
            # 100, 103 and their like go on at once.
            if not client.request.old:
                client.transport.write(answer.kept)
            if not data:
                return
        self._refuse(client)

    def _final(self, client: Exchange, answer: Answer, data: bytes, end: int) -> None:
        keep = client.answering(answer.status)
        length = answer.length
        if client.request.head_only or answer.bodyless:
            length = 0
            head = answer.to_head_request(keep)
        else:
            head = answer.kept if keep else answer.closing(client.request.old)
        if self.core.hsts and client.request.secure:
            head = answer.with_line(head, self.core.hsts)
        if client.cookie:
            head = head[:-2] + client.cookie + b"\r\n"
        body = len(data) - end
        if length == body:
            client.transport.write(data if head is answer.raw else head + data[end:])
            self._done(client, True)
        elif length < 0:
            client.transport.write(head)
            if length == answers.CHUNKED:
                self.stage = CHUNKED
                self._chunks = ChunkedBody(decode=client.request.old, named=answer.named)
                if body:
                    self._chunked(client, data[end:])
            else:
                self.stage = UNTIL_CLOSE
                if body:
                    self._wrap(client, data[end:])
        elif length > body:
            self.stage = LENGTH
            self._left = length - body
            if body > _JOIN:
                client.transport.write(head)
                client.transport.write(memoryview(data)[end:])
            else:
                client.transport.write(head + data[end:])
        else:
            client.transport.write(head + data[end : end + length])
            self._done(client, False)

    def _switch(self, client: Exchange, answer: Answer, rest: bytes) -> None:
        """101 makes a tunnel."""
        if not client.request.upgrade or not answer.upgrade:
            self._refuse(client)
            return
        self.stage = TUNNEL
        client.tunnel(answer.switching())
        if rest:
            client.transport.write(rest)

    def _chunked(self, client: Exchange, data: bytes) -> None:
        chunks = self._chunks
        if chunks is None:
            raise AssertionError("stage CHUNKED without a chunk reader")
        out = chunks.feed(data)
        if out:
            client.transport.write(out)
        if chunks.done:
            self._chunks = None
            self._done(client, not chunks.rest)
        elif chunks.broken:
            self.drop()
            client.lost(self, False)

    def _wrap(self, client: Exchange, data: bytes) -> None:
        """A piece of a body that ends with the connection, as a chunk unless the client is too old for chunks."""
        if client.request.old:
            client.transport.write(data)
        else:
            client.transport.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def _refuse(self, client: Exchange) -> None:
        """The answer is not HTTP: 502."""
        self.drop()
        client.bad_answer()

    def _done(self, client: Exchange, clean: bool) -> None:
        """The answer is complete. Back into the pool when nothing is left over on either side."""
        self.client = None
        self.served += 1
        pool = self.pool
        if self.served > 1:
            pool.lasting = True
        answer = self._answer
        if (
            clean
            and answer is not None
            and answer.reusable
            and not client.left
            and not pool.retired
            and len(pool.idle) < self.core.limits.busy_upstream
            and not self.transport.get_write_buffer_size()
        ):
            self.stage = FREE
            self.since = self.core.now
            if client.stalled:
                self.transport.resume_reading()
            pool.idle.append(self)
        else:
            self.stage = GONE
            self._close()
        client.answered()

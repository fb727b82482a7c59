"""A client's connection whose requests are told to the access log. Without the log nothing of this is there.

What always holds: every request that was begun, or refused before it was one, is told of exactly once, when the last
byte of its answer was written or nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from minipaas.ingress.accesslog import BROKEN, LEFT, AccessLog, Entry
from minipaas.ingress.client import Client
from minipaas.ingress.request import NOTHING
from minipaas.ingress.states import HALF, TUNNEL

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.pages import Fault
    from minipaas.ingress.request import Request
    from minipaas.ingress.table import Target
    from minipaas.model.route import RouteEntry


class Meter(asyncio.Transport):
    """A transport that counts what is written."""

    __slots__ = ("_inner", "sent")

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self.sent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)
        self._inner.write(data)

    def write_eof(self) -> None:
        self._inner.write_eof()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)


class LoggedClient(Client):
    """See the module."""

    __slots__ = (
        "_asked",
        "_entry",
        "_fault",
        "_instance",
        "_log",
        "_meter",
        "_open",
        "_paging",
        "_peer",
        "_read_before",
        "_received",
        "_sent_before",
        "_started",
        "_status",
    )

    def __init__(self, core: Core, log: AccessLog, pin: Target | None = None, *, secure: bool = False) -> None:
        super().__init__(core, pin, secure=secure)
        self._log = log
        self._meter: Meter
        self._received = 0
        self._read_before = self._sent_before = 0
        """Bytes of the requests before."""
        self._open = False
        """A request has begun and is not told of..."""
        self._asked = NOTHING
        """...this one."""
        self._paging = False
        self._started = 0.0
        self._status = 0
        self._fault = ""
        self._instance = ""
        self._entry: RouteEntry | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._meter = Meter(cast(asyncio.Transport, transport))
        super().connection_made(self._meter)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    # -- what happens to a request

    def _begin(self, request: Request) -> None:
        self._started = time.monotonic()
        self._open = True
        self._asked = request
        self._tries = 0
        super()._begin(request)

    def answering(self, status: int) -> bool:
        self._status = status
        return super().answering(status)

    def tunnel(self, head: bytes) -> None:
        self._status = 101
        super().tunnel(head)

    def _leave(self) -> None:
        if self._pool is not None:
            self._instance = self._pool.backend.instance
        super()._leave()

    def _end(self) -> None:
        if self._target is not None:
            self._entry = self._target.entry
        super()._end()
        if self._open and not self._paging:
            self._tell()

    def _page(self, fault: Fault, location: bytes = b"") -> None:
        self._status, self._fault = fault.status, fault.code
        self._paging = True
        super()._page(fault, location)
        self._paging = False
        self._tell()

    def _prove(self, answer: bytes) -> None:
        self._status = 200
        super()._prove(answer)
        self._tell()

    def _refuse(self, fault: Fault) -> None:
        super()._refuse(fault)
        self._started = time.monotonic()
        self._status, self._fault = fault.status, fault.code
        self._tell(known=False)

    def _cut_off(self) -> None:
        self._fault = BROKEN
        super()._cut_off()

    def _give_up(self) -> None:
        if self._open and self.state not in (TUNNEL, HALF):
            self._fault = LEFT
        super()._give_up()
        if self._open:
            self._tell()

    # -- and is told

    def _tell(self, *, known: bool = True) -> None:
        self._open = False
        received, sent = self._received - len(self._buffer), self._meter.sent
        if self._log.wants(self._status, self._fault):
            took = time.monotonic() - self._started
            peer = self._origin.via.client
            entry = Entry(
                began=time.time() - took,
                took=took,
                client=peer,
                peer=peer,
                secure=self.secure,
                status=self._status,
                received=received - self._read_before,
                sent=sent - self._sent_before,
                fault=self._fault,
            )
            if known:
                self._describe(entry)
            self._log.add(entry)
        self._read_before, self._sent_before = received, sent
        self._asked = NOTHING
        self._status, self._fault, self._instance, self._entry = 0, "", "", None

    def _describe(self, entry: Entry) -> None:
        request = self._asked
        entry.client = request.fields.via.client
        entry.secure = request.secure
        entry.method, entry.old = request.method, request.old
        entry.host = request.host
        entry.target = request.forward.split(b" ", 2)[1]
        entry.block = request.fields.block
        entry.instance = self._instance[:12]
        entry.retries = max(0, self._tries - 1)
        if self._entry is not None:
            entry.app, entry.service = self._entry.app, self._entry.service
            entry.route = str(self._entry.route)

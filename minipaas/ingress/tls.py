"""TLS between a client's socket and `Client`, which does not notice it: a transport above, a protocol below.

    NEW ──first byte──> SHAKING ──handshake──> OPEN ──close_notify or close──> ENDED
     └─ not TLS: told so in plain HTTP, or cut ────────────────────────────────┘

What always holds: nothing is allocated for TLS before a first byte that can be TLS; a handshake has a deadline and
there are only so many at once (core); after ENDED nothing more is written. It is written here, and not left to the
loop's own TLS, because that has no half-close, keeps 256 KiB a connection and tells nobody of handshakes under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Protocol, cast

from minipaas.ingress import pages

if TYPE_CHECKING:
    from minipaas.ingress.client import Client
    from minipaas.ingress.core import Core

NEW, SHAKING, OPEN, ENDED = range(4)
_RECORD = 16 * 1024
"""The content of a record is no longer (RFC 8446, section 5.1)."""
_HANDSHAKE = 0x16
"""The first byte of every connection that speaks TLS (RFC 8446, section 5.1: ContentType)."""


class Certificates(Protocol):
    """Who knows what to show to clients."""

    def context(self, address: str) -> ssl.SSLContext:
        """What a handshake at this address of the box begins with."""
        ...


class Secure(asyncio.Transport, asyncio.Protocol):
    """One connection of a client over TLS."""

    __slots__ = (
        "_certificates",
        "_client",
        "_ending",
        "_in",
        "_out",
        "_paused",
        "_raw",
        "_tls",
        "core",
        "since",
        "stage",
    )

    def __init__(self, core: Core, certificates: Certificates) -> None:
        self.core = core
        self.stage = NEW
        self.since = 0.0
        """When the connection was made."""
        self._certificates = certificates
        self._raw: asyncio.Transport
        self._client: Client
        self._tls: ssl.SSLObject
        self._in: ssl.MemoryBIO
        self._out: ssl.MemoryBIO
        self._paused = False
        self._ending = False
        """The end is to be told when what has come in is read."""

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self.core.shaking(self)

    def data_received(self, data: bytes) -> None:
        stage = self.stage
        if stage == OPEN:
            self._in.write(data)
            self._read()
        elif stage == SHAKING:
            self._in.write(data)
            self._shake()
        elif stage == NEW:
            self._first(data)
        elif self._client_there and not self._raw.is_closing():
            # We have said all; what the client still says is for the one who lingers.
            self._in.write(data)
            self._read()

    def eof_received(self) -> bool:
        if not self._client_there:
            return False
        return bool(self._client.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.core.shaken(self)
        self.stage = ENDED
        if self._client_there:
            self._client.connection_lost(exc)
            # The two hold each other: without this, memory waits for the garbage collector.
            del self._client
        if hasattr(self, "_tls"):
            del self._tls

    def pause_writing(self) -> None:
        if self._client_there:
            self._client.pause_writing()

    def resume_writing(self) -> None:
        if self._client_there:
            self._client.resume_writing()

    # -- the handshake

    def _first(self, data: bytes) -> None:
        if data[0] != _HANDSHAKE:
            self._refuse(data)
            return
        here = self._raw.get_extra_info("sockname")
        address = here[0] if isinstance(here, tuple) else "127.0.0.1"
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._certificates.context(address).wrap_bio(self._in, self._out, server_side=True)
        self.stage = SHAKING
        self._in.write(data)
        self._shake()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self.core.refused += 1
            self.stage = ENDED
            self._flush()  # the alert that says why
            self._raw.close()
        else:
            self._flush()
            self.stage = OPEN
            self._client = self.core.client(secure=True)
            self._client.connection_made(self)
            self.core.shaken(self)
            if self._in.pending:
                self._read()

    def _refuse(self, data: bytes) -> None:
        """Somebody who does not speak TLS: a browser gets a page, the rest nothing."""
        self.core.refused += 1
        self.stage = ENDED
        if b"A" <= data[:1] <= b"Z":
            self._raw.write(pages.render(pages.NEEDS_TLS, fields=data.partition(b"\r\n")[2], close=True))
            self._raw.write_eof()  # and closed by the deadline for handshakes, so that the page arrives
        else:
            self._raw.abort()

    def expired(self) -> None:
        """The handshake took too long."""
        self.core.refused += self.stage != ENDED
        self._raw.abort()

    # -- bytes in

    def _read(self) -> None:
        """Hand on what has come in, record by record, as far as the client wants it."""
        tls, incoming, client = self._tls, self._in, self._client
        try:
            while not self._paused:
                data = tls.read(_RECORD)
                if not data:
                    self._ended_by_peer()
                    return
                client.data_received(data)
                # OpenSSL takes whole records: with nothing left here, nothing is left there.
                if not incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.core.refused += 1
            self.abort()
            return
        if self._out.pending:
            self._flush()  # a key update, or an alert
        if self._ending and not incoming.pending:
            self._tell_end()

    def _ended_by_peer(self) -> None:
        if not self._client.eof_received():
            self.close()

    def _more(self) -> None:
        if self._client_there and not self._paused and self._in.pending:
            self._read()

    @property
    def _client_there(self) -> bool:
        return hasattr(self, "_client")

    # -- bytes out, and what else `Client` asks of a transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self.stage != OPEN or not data:
            return
        tls = self._tls
        try:
            sent = tls.write(data)
            if sent < len(data):
                rest = memoryview(data)
                while sent < len(rest):
                    sent += tls.write(rest[sent:])
        except ssl.SSLError:
            self.abort()
            return
        self._raw.write(self._out.read())

    def write_eof(self) -> None:
        """Say that nothing more comes; go on reading (RFC 8446, section 6.1)."""
        if self._in.pending:
            self._ending = True
            self.core.loop.call_soon(self._more)
        else:
            self._tell_end()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        """Say that nothing more comes, send what is left, close."""
        self._tell_end(closing=True)
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self.stage = ENDED
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._raw.resume_reading()
        if self._in.pending:
            # Later, not now: whoever asks for it may be in the middle of what was read before.
            self.core.loop.call_soon(self._more)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._raw.get_extra_info(name, default)

    # -- the end

    def _tell_end(self, closing: bool = False) -> None:
        """close_notify, once, and the end of the stream, which closing brings anyway."""
        self._ending = False
        if self.stage != OPEN:
            return
        self.stage = ENDED
        with contextlib.suppress(ssl.SSLError):  # it waits for the peer's, or complains of data that nobody will read
            self._tls.unwrap()
        self._flush()
        if not closing and not self._raw.is_closing():
            self._raw.write_eof()

    def _flush(self) -> None:
        data = self._out.read()
        if data:
            self._raw.write(data)

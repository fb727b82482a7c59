"""A small synchronous HTTP/1.1 client for the API of a box, over its Unix socket or TCP.

What always holds: every wait has a deadline (`Limits`), every failure is a `MinipaasError`, and what the box refused
is raised as the class the box named (`model.errors.KINDS`). An upload asks first (`Expect: 100-continue`, RFC 9110
10.1.1) and reads the answer as soon as there is one, also while bytes are still going out. An event stream that
breaks is taken up again where it stopped (`Last-Event-ID`, WHATWG server-sent events).

Only the standard library and msgspec are imported here: every client command pays for this module.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from minipaas.model.errors import KINDS, Forbidden, Invalid, MinipaasError, Missing, Refused, Unreachable
from minipaas.model.typed import from_json, to_json
from minipaas.surface.connection import (
    DEFAULT_PORT,
    SOCKET_NAME,
    Address,
    Reader,
    connection,
    default_data,
    late,
    unreachable,
)

T = TypeVar("T")

API = "/api/v1"
_JSON = "application/json"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """All deadlines (seconds) and sizes (bytes) of the client."""

    connect: float = 10.0
    answer: float = 60.0
    """From the request to the whole answer of an ordinary call; between two reads of it."""
    go_ahead: float = 10.0
    """How long to wait for `100 Continue` before sending anyway."""
    stall: float = 120.0
    """The longest that not one byte of an upload may get through."""
    verdict: float = 900.0
    """From the last byte of an upload to the answer: the box syncs and commits."""
    silence: float = 60.0
    """An event stream without even a comment for this long is broken."""
    patience: float = 120.0
    """How long a broken event stream is tried again without getting anything new."""
    answer_size: int = 64 * 1024**2
    line_size: int = 1024**2
    piece: int = 256 * 1024


LIMITS = Limits()


class Event(msgspec.Struct, frozen=True):
    """One server-sent event."""

    name: str
    data: str
    id: str = ""


class Box:
    """The API of one box. Cheap to make: it connects at each call."""

    def __init__(self, address: Address, token: str = "", limits: Limits = LIMITS) -> None:
        self.address = address
        self.token = token
        self.limits = limits
        if token and not address.private:
            raise Refused(
                f"cannot send the token to {address}: on plain http everybody on the way can read it",
                hint=f"use https://, or a tunnel: ssh -L {DEFAULT_PORT}:127.0.0.1:{address.port} {address.host}, then "
                f"--to http://127.0.0.1:{DEFAULT_PORT}",
                code="cli.token_in_clear",
            )

    @classmethod
    def at(cls, to: str | None = None, limits: Limits = LIMITS) -> Box:
        """`to`, else MINIPAAS_HOST, else the socket of the default data directory. Token: MINIPAAS_TOKEN."""
        named = to or os.environ.get("MINIPAAS_HOST")
        address = Address.parse(named) if named else Address("unix", str(default_data() / SOCKET_NAME))
        return cls(address, os.environ.get("MINIPAAS_TOKEN", ""), limits)

    # -- ordinary calls ------------------------------------------------------------------------------------------

    def get(self, path: str, kind: type[T], **query: object) -> T:
        """GET `/api/v1` + path, decoded as `kind`. Query values of None are left out."""
        return self.call("GET", path, kind, query=query)

    def call(
        self, method: str, path: str, kind: type[T], body: object = None, query: dict[str, Any] | None = None
    ) -> T:
        """Send `body` (raw bytes, or anything that becomes JSON) and decode the answer as `kind`."""
        return self.understand(self.raw(method, path, body, query), kind)

    def raw(
        self,
        method: str,
        path: str,
        body: object = None,
        query: dict[str, Any] | None = None,
        *,
        absolute: bool = False,
    ) -> bytes:
        """Like `call`; the body of the answer as it is. `absolute`: the path is not below /api/v1. Raises what the box
        said, or Unreachable."""
        data, kind = (body, "application/octet-stream") if isinstance(body, bytes) else (to_json(body), _JSON)
        headers = self.headers | ({} if body is None else {"Content-Type": kind})
        with self._connection(self.limits.answer) as wire:
            target = path if absolute else _target(path, query)
            wire.request(method, target, None if body is None else data, headers)
            response = wire.getresponse()
            return self._checked(response)

    def download(
        self,
        path: str,
        out: BinaryIO,
        progress: Callable[[int, int], None] | None = None,
        query: dict[str, Any] | None = None,
    ) -> int:
        """GET a file of any size into `out`; its size. `progress` hears the bytes so far, and how many there are.
        Raises what the box said, Unreachable also when the file is not whole."""
        with self._connection(self.limits.stall) as wire:
            wire.request("GET", _target(path, query), headers=self.headers)
            response = wire.getresponse()
            if response.status != 200:
                self._checked(response)
            size = 0
            while piece := response.read(self.limits.piece):
                out.write(piece)
                size += len(piece)
                if progress is not None:
                    progress(size, response.length + size if response.length is not None else size)
            return size

    def root(self) -> bytes:
        """The root certificate of the box's CA, PEM."""
        return self.raw("GET", "/ca.pem", absolute=True)

    def understand(self, body: bytes, kind: type[T]) -> T:
        """An answer as `kind`. Raises MinipaasError when it is not one."""
        try:
            return from_json(body, kind)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise MinipaasError(
                f"cannot understand the answer of {self.address}: {error}",
                hint="is it a box of the same version? compare with: minipaas version",
                code="cli.answer",
            ) from None

    # -- upload --------------------------------------------------------------------------------------------------

    def upload(
        self,
        path: str,
        chunks: Iterable[bytes],
        length: int,
        kind: type[T],
        *,
        media_type: str = "application/octet-stream",
        progress: Callable[[int], None] | None = None,
        query: dict[str, Any] | None = None,
    ) -> T:
        """PUT `length` bytes. `progress` hears the number of bytes sent so far.

        The box may answer at any time: before the first byte, or in the middle; then the rest is not sent.
        """
        with self._connection(self.limits.stall) as wire:
            wire.connect()
            sock = wire.sock
            wire.putrequest("PUT", _target(path, query))
            headers = {"Content-Type": media_type, "Content-Length": str(length), "Expect": "100-continue"}
            for name, value in (self.headers | headers).items():
                wire.putheader(name, value)
            wire.endheaders()
            reader = Reader(sock)
            if reader.wait(self.limits.go_ahead) and reader.answered():
                return self._answer(reader, kind)
            sent = self._send(sock, reader, _reading(chunks), progress)
            if sent is None:
                return self._answer(reader, kind)
            if sent != length:
                raise MinipaasError(f"cannot upload: the file changed while it was read ({sent} of {length} bytes)")
            if not reader.wait(self.limits.verdict):
                raise late(self.address, self.limits.verdict)
            return self._answer(reader, kind)

    def _send(
        self, sock: socket.socket, reader: Reader, chunks: Iterable[bytes], progress: Callable[[int], None] | None
    ) -> int | None:
        """The number of bytes sent, or None when the box has answered before the end."""
        sent = 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                readable, writable, _ = select.select([sock], [sock], [], self.limits.stall)
                if readable:
                    reader.glance()
                    if reader.answered():
                        return None
                elif not writable:
                    raise late(self.address, self.limits.stall)
                if not writable:
                    continue
                try:
                    count = sock.send(rest[: self.limits.piece])
                except (BrokenPipeError, ConnectionResetError):
                    if reader.wait(1.0) and reader.answered():
                        return None
                    raise
                rest, sent = rest[count:], sent + count
                if progress is not None:
                    progress(sent)
        return sent

    def _answer(self, reader: Reader, kind: type[T]) -> T:
        reader.sock.settimeout(self.limits.answer)
        response = http.client.HTTPResponse(reader)  # type: ignore[arg-type]  # it only calls makefile()
        response.begin()
        return self.understand(self._checked(response), kind)

    # -- events --------------------------------------------------------------------------------------------------

    def events(self, path: str, last: str = "", end: str = "end") -> Iterator[Event]:
        """Follow a stream of server-sent events until one named `end`; reconnect where it broke.

        Raises Unreachable when nothing new came for `limits.patience` seconds of trying.
        """
        heard = time.monotonic()
        pause = 0.1
        while True:
            failure: Unreachable | None = None
            try:
                for event in self._stream(path, last):
                    heard, pause = time.monotonic(), 0.1
                    if event is None:
                        continue
                    last = event.id or last
                    yield event
                    if event.name == end:
                        return
            except Unreachable as error:
                failure = error
            if time.monotonic() - heard > self.limits.patience:
                raise failure or Unreachable(
                    f"cannot follow {path} at {self.address}: the stream broke off again and again",
                    hint="the change goes on without us; look with: minipaas changes",
                )
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _stream(self, path: str, last: str) -> Iterator[Event | None]:
        """Events of one connection; None for a sign of life without content."""
        headers = self.headers | {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self._connection(self.limits.silence) as wire:
            wire.request("GET", _target(path, None), None, headers)
            response = wire.getresponse()
            if response.status != 200:
                self._checked(response)
            name, identity, data = "", "", list[str]()
            while line := response.readline(self.limits.line_size):
                if not line.endswith(b"\n"):
                    return
                field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if not field and not value:
                    if data:
                        yield Event(name or "message", "\n".join(data), identity)
                    name, data = "", []
                elif not field:
                    yield None
                elif field == "event":
                    name = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    identity = value

    # -- plumbing ------------------------------------------------------------------------------------------------

    @property
    def headers(self) -> dict[str, str]:
        """What every request brings."""
        return {"User-Agent": "minipaas", "Accept": _JSON} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )

    @contextlib.contextmanager
    def _connection(self, timeout: float) -> Iterator[http.client.HTTPConnection]:
        """A connection whose every failure is told as Unreachable."""
        made = connection(self.address, self.limits.connect, timeout)
        try:
            yield made
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.address, error, timeout) from None
        finally:
            made.close()

    def _checked(self, response: http.client.HTTPResponse) -> bytes:
        """The body; raises the error it carries."""
        body = response.read(self.limits.answer_size + 1)
        if len(body) > self.limits.answer_size:
            raise MinipaasError(
                f"cannot read the answer of {self.address}: larger than {self.limits.answer_size} bytes"
            )
        if 200 <= response.status < 300:
            return body
        raise error_from(response.status, body, self.address)


def _reading(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks; trouble with reading them is not trouble with the box."""
    try:
        yield from chunks
    except OSError as error:
        raise MinipaasError(f"cannot read the bundle: {error.strerror or error}") from None


def _target(path: str, query: dict[str, Any] | None) -> str:
    named = {key: value for key, value in (query or {}).items() if value is not None}
    absolute = path if path.startswith(API + "/") else API + path
    return quote(absolute, safe="/:@-._~%") + (f"?{urlencode(named)}" if named else "")


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class _ErrorBody(msgspec.Struct):
    kind: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""


class _ErrorEnvelope(msgspec.Struct):
    error: _ErrorBody


_BY_STATUS = {400: Invalid, 401: Forbidden, 403: Forbidden, 404: Missing, 409: Refused, 422: Invalid}


def error_from(status: int, body: bytes, address: object) -> MinipaasError:
    """The error that an answer carries: `{"error": {"kind", "code", "message", "hint"}}`."""
    try:
        said = msgspec.json.decode(body, type=_ErrorEnvelope).error
    except (msgspec.DecodeError, msgspec.ValidationError):
        said = _ErrorBody()
    fallback = Unreachable if status in (502, 503, 504) else _BY_STATUS.get(status, MinipaasError)
    cls = KINDS.get(said.kind, fallback)
    message = said.message or f"cannot do that: {address} answered {status} {http.client.responses.get(status, '')}"
    return cls(message.rstrip(), hint=said.hint, code=said.code or f"http.{status}")

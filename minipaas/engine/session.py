"""Synchronous calls on Podman's Unix socket: HTTP/1.1 by http.client, over a few connections that are kept.

What always holds: a connection is used by one call at a time; it is kept only when its answer was read to the end, and
used again only while nothing has come in on it since (a service that ended has closed it); every wait has a deadline.
Paths are relative to `/v4.0.0/libpod`: Podman 4 and 5 both speak that version.

podman-py would do, but it brings requests, urllib3 and tables of encodings (9 MB) into a process that has to stay
small, and its objects inspect every container of a list.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import IO
from urllib.parse import urlencode

import msgspec

from minipaas.engine import limits
from minipaas.engine.causes import dropped, explain, podman_text, unreachable
from minipaas.model.errors import Deadline, EngineError

PREFIX = "/v4.0.0/libpod/"
PIECE = 64 * 1024
Params = Mapping[str, str | int | bool]
Body = bytes | Iterable[bytes] | IO[bytes] | None


class _Connection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=limits.CALL)
        self._path = path

    def connect(self) -> None:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(limits.CALL)
        try:
            channel.connect(self._path)
        except OSError:
            channel.close()
            raise
        self.sock = channel

    @property
    def usable(self) -> bool:
        """Whether the other side still waits for a request: it has neither closed nor said anything."""
        if self.sock is None:
            return False
        poll = select.poll()  # select(2) ends at descriptor 1023
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class Session:
    """Calls on one socket; safe to use from several threads."""

    def __init__(self, socket: str) -> None:
        self.socket = socket.removeprefix("unix://")
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def call(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = limits.CALL,
        accept: frozenset[int] = frozenset(),
    ) -> tuple[int, bytes]:
        """Status and body; `timeout` is the longest silence. Raises EngineError for 4xx and 5xx not in `accept`."""
        headers = dict(headers or {})
        if json is not None:
            data = msgspec.json.encode(json)
            headers["Content-Type"] = "application/json"
        connection, answer = self._send(what, method, path, timeout, params, data, headers)
        body = self._whole(what, connection, answer, timeout)
        if answer.status >= 400 and answer.status not in accept:
            raise explain(what, podman_text(body), answer.status)
        return answer.status, body

    def stream(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Iterator[bytes]:
        """The body in pieces as it comes; `timeout` is the longest silence. Raises as `call` does."""
        connection, answer = self._send(what, method, path, timeout, params, data, dict(headers or {}))
        if answer.status >= 400:
            raise explain(what, podman_text(self._whole(what, connection, answer, timeout)), answer.status)
        yield from self._pieces(what, connection, answer, timeout)

    def _send(
        self,
        what: str,
        method: str,
        path: str,
        timeout: float,
        params: Params | None,
        data: Body,
        headers: dict[str, str],
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        connection = self._take()
        kept = connection.sock is not None
        target = PREFIX + path + (f"?{urlencode(flags(params))}" if params else "")
        try:
            if connection.sock is None:
                self._connect(what, connection)
            connection.sock.settimeout(timeout)
            connection.request(method, target, body=data, headers=headers)
            answer = connection.getresponse()
            if answer.length is None and not answer.chunked:
                # Podman always says where a body ends; http.client takes a head that was cut off for a whole one.
                raise http.client.IncompleteRead(b"")
            return connection, answer
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if kept and method == "GET" and isinstance(error, ConnectionError):
                # The service closed it as we took it up; a look may be asked for again.
                return self._send(what, method, path, timeout, params, data, headers)
            raise _translated(what, timeout, error) from error
        except BaseException:
            connection.close()
            raise

    def _connect(self, what: str, connection: _Connection) -> None:
        try:
            connection.connect()
        except TimeoutError:
            raise too_long(what, limits.CALL) from None
        except OSError as error:
            raise unreachable(self.socket) from error

    def _take(self) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _Connection(self.socket)
            if connection.usable:
                return connection
            connection.close()

    def _whole(self, what: str, connection: _Connection, answer: http.client.HTTPResponse, timeout: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in self._pieces(what, connection, answer, timeout):
            size += len(part)
            if size > limits.MAX_ANSWER:
                raise EngineError(f"cannot {what}: Podman's answer is larger than {limits.MAX_ANSWER} bytes")
            parts.append(part)
        return b"".join(parts)

    def _pieces(
        self, what: str, connection: _Connection, answer: http.client.HTTPResponse, timeout: float
    ) -> Iterator[bytes]:
        """The body as it comes. Whoever stops early costs the connection."""
        whole = False
        try:
            while piece := answer.read1(PIECE):
                yield piece
            if answer.length:
                raise dropped(what)
            whole = True
        except (OSError, http.client.HTTPException) as error:
            raise _translated(what, timeout, error) from error
        finally:
            answer.close()
            with self._lock:
                keep = whole and connection.sock is not None and len(self._idle) < limits.QUICK_LANE + limits.SLOW_LANE
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()


def flags(params: Params | None) -> dict[str, str]:
    """Query values in Go's spelling."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in (params or {}).items()}


def too_long(what: str, timeout: float) -> Deadline:
    """The error for a call that outlived its deadline."""
    hint = "Podman is slow or stuck; a full or failing disk is the usual cause"
    return Deadline(f"cannot {what}: Podman took longer than {timeout:g} s", hint=hint, code="engine.deadline")


def _translated(what: str, timeout: float, error: Exception) -> EngineError:
    """What the socket or http.client raised as one of ours."""
    return too_long(what, timeout) if isinstance(error, TimeoutError) else dropped(what)

"""Steady requests through the ingress while something else goes on."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from types import TracebackType
from typing import Protocol

_VERSION = re.compile(rb"version (\d+\.\d+\.\d+)")


class Doors(Protocol):
    """Ports of 127.0.0.1 where apps answer, plain and with TLS."""

    ingress: int
    secure: int


class Named(http.client.HTTPSConnection):
    """To this machine, by a name that it need not know."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=15)
        self._tls = tls

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class Load:
    """`with Load(box, host) as load:` sends request after request from some threads, each with its own connection;
    with `tls`, over that and a new connection a request in all threads but one."""

    def __init__(
        self,
        box: Doors,
        host: str,
        *,
        path: str = "/",
        threads: int = 3,
        tls: ssl.SSLContext | None = None,
        patience: float = 15.0,
    ) -> None:
        self.box = box
        self.host = host
        self.path = path
        self.patience = patience
        """Seconds after which a request has failed."""
        self.tls = tls
        self.count = 0
        self.failures: list[str] = []
        self.versions: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return Named(self.host, self.box.secure, self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.box.ingress, timeout=self.patience)

    def _run(self, number: int) -> None:
        connection = self._connection()
        while not self._stop.is_set():
            try:
                connection.request("GET", self.path, headers={"Host": self.host})
                response = connection.getresponse()
                body = response.read()
                failure = "" if response.status == 200 else f"{response.status}: {body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                body, failure = b"", repr(error)
                connection.close()
            found = _VERSION.search(body)
            with self._lock:
                self.count += 1
                if failure:
                    self.failures.append(failure)
                if found and (not self.versions or self.versions[-1] != found[1].decode()):
                    self.versions.append(found[1].decode())
            if self.tls is not None and number:
                connection.close()
            self._stop.wait(0.01)
        connection.close()

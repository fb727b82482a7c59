"""Clients that ask on while a box changes, and know what the right answer is: over HTTP, TLS and long WebSockets, and a
steady crowd by wrk. What was not answered rightly is told in words."""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.box import Box

PAUSE = 0.02
"""Seconds between two requests of a client."""
SPOKEN = 0.2
"""Seconds between two messages of a WebSocket."""
PATIENCE = 75.0
"""Seconds for one answer; longer than requests are held."""
BODY = b"x" * 1024
CROWD = "function delay() return 50 end"
"""For wrk: every connection waits so many milliseconds after an answer."""
CONNECTIONS = 16
_RELEASE = re.compile(rb"release (\d+) from ")


class Load:
    """The clients. `allowed` are the numbers of the releases that may answer now. `hosts` are asked in every way;
    `talks` is a host whose service says back what it hears on a WebSocket."""

    def __init__(self, box: Box, hosts: Sequence[str], talks: str) -> None:
        self.allowed = frozenset({1})
        self.asked: Counter[str] = Counter()
        self.slowest: Counter[str] = Counter()
        """Milliseconds."""
        self.failures: list[str] = []
        self._box = box
        self._changing = 0
        self._stop = threading.Event()
        (box.directory / "ca.pem").write_text(box.cli("certs", "ca").out)
        self._trusted = ssl.create_default_context(cafile=str(box.directory / "ca.pem"))
        kinds = (("GET", True, False), ("GET", False, False), ("POST", True, False), ("GET", True, True))
        self._threads = [
            threading.Thread(target=self._ask, args=(host, *kind), name=f"{kind[0]} {host}")
            for host in hosts
            for kind in kinds
        ]
        self._threads += [threading.Thread(target=self._talk, args=(talks, secure)) for secure in (False, True)]
        self._crowd = _Crowd(box, hosts[0])

    def __enter__(self) -> Load:
        self._crowd.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        asked, failed = self._crowd.stop()
        self.asked[f"GET {CONNECTIONS} connections of wrk"] += asked
        self.failures += failed

    @contextmanager
    def change(self, number: int) -> Iterator[None]:
        """Until the end of the block the release may still be the one of before; then it has to be this one. A
        WebSocket may end meanwhile, with its instance."""
        self.allowed |= {number}
        with self.moving():
            yield
        self.allowed = frozenset({number})

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Instances are replaced, of the same release."""
        self._changing += 1
        yield
        self._changing += 1

    # -- the clients

    def _connection(self, host: str, secure: bool) -> socket.socket:
        port = self._box.secure if secure else self._box.ingress
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        return self._trusted.wrap_socket(plain, server_hostname=host) if secure else plain

    def _ask(self, host: str, method: str, keep: bool, secure: bool) -> None:
        kind = f"{method} {host}{' with TLS' if secure else ''}, {'one connection' if keep else 'a connection each'}"
        connection: http.client.HTTPConnection | None = None
        while not self._stop.wait(PAUSE):
            before, begun = self.allowed, time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1")
                    connection.sock = self._connection(host, secure)
                connection.request(method, "/cgi-bin/whoami", BODY if method == "POST" else None, {"Host": host})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._failed(kind, repr(error))
            else:
                found = _RELEASE.search(body)
                if response.status != 200 or found is None:
                    self._failed(kind, f"{response.status}: {body[:100]!r}")
                elif int(found[1]) not in before | self.allowed:
                    self._failed(kind, f"release {int(found[1])} answered instead of {sorted(self.allowed)}")
                if keep and not response.will_close:
                    response.close()
                    self._count(kind, begun)
                    continue
            self._count(kind, begun)
            if connection is not None:
                connection.close()
            connection = None

    def _talk(self, host: str, secure: bool) -> None:
        """One WebSocket after the other, each for as long as its instance lives."""
        kind = f"messages to {host}{' with TLS' if secure else ''}"
        while not self._stop.is_set():
            changes = self._changing
            try:
                with self._connection(host, secure) as peer:
                    _open(peer, host)
                    while not self._stop.wait(SPOKEN):
                        begun, message = time.monotonic(), _frame(os.urandom(64))
                        peer.sendall(message)
                        heard = _exactly(peer, len(message))
                        self._count(kind, begun)
                        if heard != message:
                            self._failed(kind, f"{heard!r} came back instead of {message!r}")
                    return
            except OSError as error:
                if not changes % 2 and changes == self._changing:
                    self._failed(kind, f"ended while nothing changed: {error!r}")

    def _count(self, kind: str, begun: float) -> None:
        self.asked[kind] += 1
        self.slowest[kind] = max(self.slowest[kind], round(1000 * (time.monotonic() - begun)))

    def _failed(self, kind: str, why: str) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {why}")


class _Crowd:
    """wrk, for as long as it is wanted."""

    def __init__(self, box: Box, host: str) -> None:
        script = box.directory / "crowd.lua"
        script.write_text(CROWD)
        self._output = box.directory / "crowd.txt"
        self._command: list[str | Path] = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "12h", "--timeout", "75s"]
        self._command += ["-s", script, "-H", f"Host: {host}", f"http://127.0.0.1:{box.ingress}/"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("wb") as out:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def stop(self) -> tuple[int, list[str]]:
        """How many it has asked, and what it counted as wrong."""
        assert self._process is not None  # noqa: S101 - it was started
        self._process.send_signal(2)
        self._process.wait(PATIENCE)
        said = self._output.read_text()
        asked = re.search(r"(\d+) requests in", said)
        wrong = [line.strip() for line in said.splitlines() if "Socket errors" in line or "Non-2xx" in line]
        if asked is None:
            wrong.append(f"wrk did not say what it has seen: {said}")
        return int(asked[1]) if asked else 0, wrong


def _open(peer: socket.socket, host: str) -> None:
    """The handshake (RFC 6455 4.1). Raises OSError."""
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        f"GET /talk HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(peer, 1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"no WebSocket: {head[:200]!r}")


def _frame(payload: bytes) -> bytes:
    """A binary message as a client sends it, in one masked frame (RFC 6455 5.2)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((0x82, 0x80 | len(payload))) + mask + masked


def _exactly(peer: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        data = peer.recv(size - len(heard))
        if not data:
            raise ConnectionResetError("the connection has ended")
        heard += data
    return heard

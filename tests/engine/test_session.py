"""The session: kept connections, services that come and go, answers that are not read to their end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minipaas.engine.session import Session
from minipaas.model.errors import Deadline, EngineDown, EngineError
from tests.fakepodman import FakePodman


class Peer:
    """A service on a Unix socket that answers every request with the same bytes, and counts its connections."""

    def __init__(self, path: Path, answer: bytes, *, hang_up: bool = False) -> None:
        self.connections = 0
        self._answer, self._hang_up = answer, hang_up
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        with channel, contextlib.suppress(OSError):
            while channel.recv(65536):
                channel.sendall(self._answer)
                if self._hang_up:
                    return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "p.sock"


@pytest.fixture
def session(path: Path) -> Iterator[Session]:
    one = Session(f"unix://{path}")
    yield one
    one.close()


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(("answer", "body"), [(PLAIN, b"ok"), (CHUNKED, b"ok"), (NOTHING, b"")])
def test_one_connection_serves_call_after_call(session: Session, path: Path, answer: bytes, body: bytes) -> None:
    peer = Peer(path, answer)
    for _ in range(5):
        assert session.call("ask", "GET", "info")[1] == body
    assert peer.connections == 1
    peer.close()


def test_a_connection_that_was_closed_meanwhile_is_not_used_again(session: Session, path: Path) -> None:
    peer = Peer(path, PLAIN, hang_up=True)
    for _ in range(5):
        assert session.call("ask", "GET", "info") == (200, b"ok")
    assert peer.connections == 5
    peer.close()


def test_an_answer_that_is_not_read_to_its_end_costs_the_connection(session: Session, path: Path) -> None:
    peer = Peer(path, b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + 200000 * b"x")
    stream = session.stream("ask", "GET", "info", timeout=60)
    assert next(stream).startswith(b"x")
    stream.close()  # type: ignore[attr-defined]
    assert len(session.call("ask", "GET", "info")[1]) == 200000
    assert peer.connections == 2
    peer.close()


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off(session: Session, path: Path, name: str) -> None:
    peer = Peer(path, BROKEN[name], hang_up=True)
    with pytest.raises(EngineDown, match="cannot ask: Podman closed the connection"):
        session.call("ask", "GET", "info")
    peer.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"])
def test_silence_has_a_deadline(session: Session, path: Path, answer: bytes) -> None:
    peer = Peer(path, answer)
    with pytest.raises(EngineError) as caught:
        session.call("ask", "GET", "info", timeout=0.2)
    assert isinstance(caught.value, Deadline)
    peer.close()


def test_a_service_that_restarts_is_found_again(fake: FakePodman) -> None:
    session = Session(fake.socket)
    assert session.call("ask", "GET", "info")[0] == 200
    fake.restart()
    assert session.call("ask", "GET", "info")[0] == 200
    fake.down()
    with pytest.raises(EngineDown, match="cannot reach Podman"):
        session.call("ask", "GET", "info")
    session.close()

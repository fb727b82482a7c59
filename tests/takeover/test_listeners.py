"""Sockets from a service manager and bound ones: which are used, what waits in them, and who may close what."""

from __future__ import annotations

import os
import socket

import pytest

from minipaas.model.errors import Invalid
from minipaas.takeover.listeners import Held, Listeners, adopt, from_service_manager


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_what_is_bound_is_bound_once_and_lives_on_when_its_taker_closes_it() -> None:
    listeners, bound = Listeners(), list[str]()

    def bind(wanted: str) -> socket.socket:
        bound.append(wanted)
        return listening()

    (first,) = listeners.open("http", ["a"], bind)
    place = first.getsockname()
    first.close()
    with socket.create_connection(place, timeout=10) as client:  # nobody accepts: it waits in the queue
        (second,) = listeners.open("http", ["a"], bind)
        taken, _ = second.accept()
        assert taken.getpeername() == client.getsockname()
        taken.close()
    assert bound == ["a"]
    second.close()
    listeners.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, timeout=10)


def test_the_service_manager_decides_for_the_kinds_that_it_gives() -> None:
    given, bound = listening(), listening()
    listeners = Listeners([Held("http", "", given)])
    (one,) = listeners.open("http", ["127.0.0.1:1"], lambda _: pytest.fail("bound although one was given"))
    assert one.getsockname() == given.getsockname()
    (other,) = listeners.open("api", ["x"], lambda _: bound)
    assert other.getsockname() == bound.getsockname()
    assert [(held.kind, held.wanted) for held in listeners.held] == [("http", ""), ("api", "x")]
    for sock in (one, other):
        sock.close()
    listeners.close()


def test_what_the_configuration_no_longer_names_is_let_go() -> None:
    old = listening()
    place = old.getsockname()
    listeners = Listeners([Held("http", "old", old)])
    (new,) = listeners.open("http", ["new"], lambda _: listening())
    listeners.keep_used()
    assert [held.wanted for held in listeners.held] == ["new"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, timeout=10)
    new.close()
    listeners.close()


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    another = next(pid for pid in (1, 2, 3) if pid not in (os.getpid(), os.getppid()))
    environ = {"LISTEN_PID": str(another), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}
    assert from_service_manager(environ) == []
    assert environ == {}, "and nobody else inherits the words"
    assert from_service_manager({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == []


@pytest.mark.parametrize("name", ["http", "https", "api", "minipaas-http.socket"])
def test_a_socket_is_known_by_its_name(name: str) -> None:
    held = adopt(listening().detach(), name)
    assert (held.kind, held.wanted) == (name.removeprefix("minipaas-").removesuffix(".socket"), "")
    assert not os.get_inheritable(held.sock.fileno())
    held.sock.close()


def test_a_unix_socket_needs_no_name() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("")
    sock.listen()
    held = adopt(sock.detach(), "unknown")
    assert held.kind == "unix"
    held.sock.close()


@pytest.mark.parametrize("case", ["name", "unix name", "not listening", "datagram", "file"])
def test_what_is_none_of_ours_is_refused_with_what_to_write(case: str) -> None:
    made = {
        "name": listening,
        "unix name": listening,
        "not listening": lambda: socket.socket(socket.AF_INET),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    }
    descriptor = made[case]().detach() if case in made else os.open(os.devnull, os.O_RDONLY)
    name = {"name": "web", "unix name": "unix"}.get(case, "http")
    with pytest.raises(Invalid, match="cannot use the socket") as refused:
        adopt(descriptor, name)
    assert refused.value.code == "start.socket"
    assert "FileDescriptorName=http" in refused.value.hint
    os.close(descriptor) if case == "file" else None

"""A reload with TCP and UDP ports: the sockets go on, and so do connections that are open."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from kit.box import free_port

from minipaas.model.errors import Conflict
from minipaas.model.stream import Stream
from minipaas.takeover.inheritance import VARIABLE, Bequest, Inheritance, Role
from minipaas.takeover.listeners import STREAMS, Listeners, StreamDoors
from tests.takeover.steady import Steady, served


async def test_nobody_is_refused_and_what_is_open_goes_on(tmp_path: Path) -> None:
    port = free_port()
    async with served(tmp_path, more='[upgrade]\ndrain = "60s"\n') as box:
        await box.deploy(extra=f"tcp = {{ listen = {port}, port = 8080 }}")
        long = Steady(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await long._one(reader, writer)
        refused: list[str] = []
        count = 0

        async def knock() -> None:
            nonlocal count
            while True:
                try:
                    one_reader, one = await asyncio.open_connection("127.0.0.1", port)
                    try:
                        await long._one(one_reader, one)
                    finally:
                        one.close()
                    count += 1
                except (OSError, EOFError) as error:
                    refused.append(repr(error))
                await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as group:
            knocking = group.create_task(knock())
            status, begun = await box.api("POST", "/api/v1/self/reload")
            assert status == 202, begun
            await box.last("done")
            wanted = count + 20

            async def goes_on() -> bool:
                return count >= wanted

            await box.until(goes_on)
            knocking.cancel()
        assert refused == []
        await long._one(reader, writer)
        assert long.failures == []
        writer.close()
        await box.free()

        for path in ("/api/v1/apps/shop",):
            status, answer = await box.api("DELETE", path)
            assert status == 202, answer

        async def closed() -> bool:
            try:
                _, late = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return True
            late.close()
            return False

        await box.until(closed)


async def test_a_port_that_is_opened_meanwhile_stays_open_too(tmp_path: Path) -> None:
    """While the process before carries a last connection, another one opens a port; then the first goes on."""
    first, second = free_port(), free_port()
    async with served(tmp_path, more='[upgrade]\ndrain = "60s"\n') as box:
        await box.deploy(extra=f"tcp = {{ listen = {first}, port = 8080 }}")
        reader, writer = await asyncio.open_connection("127.0.0.1", first)
        client = Steady(first)
        await client._one(reader, writer)
        status, begun = await box.api("POST", "/api/v1/self/reload")
        assert status == 202, begun
        await box.last("done")
        assert (await box.myself())["busy"]
        # the old instance is drained by this, and with it the connection that keeps the process before
        await box.deploy("1.1", extra=f"tcp = {{ listen = {second}, port = 8080 }}", sequence=2)
        refused = 0
        while (await box.myself())["busy"]:
            try:
                one_reader, one = await asyncio.open_connection("127.0.0.1", second)
                await client._one(one_reader, one)
                one.close()
            except (OSError, EOFError):
                refused += 1
            await asyncio.sleep(0.01)
        assert refused == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", first)
        writer.close()


def doors(listeners: Listeners) -> StreamDoors:
    return StreamDoors(listeners, ("127.0.0.1",))


@pytest.mark.parametrize("protocol", STREAMS)
def test_sockets_are_inherited_apart_from_the_others(protocol: str) -> None:
    """A program from before there were streams passes them over."""
    stream = Stream(protocol, free_port())  # type: ignore[arg-type]
    listeners = Listeners()
    for sock in doors(listeners).open(stream, local=False):
        sock.close()
    ours, theirs = socket.socketpair()
    lock = os.open(os.devnull, os.O_RDONLY)
    bequest = Bequest(Role.HEIR, theirs.detach(), lock, listeners.held)
    assert listeners.held[0].sock.fileno() in bequest.descriptors
    heir = Inheritance.take({VARIABLE: bequest.text})
    assert [(one.kind, one.wanted) for one in heir.held] == [(protocol, f"127.0.0.1:{stream.port}")]
    again = Listeners(heir.held)
    (one,) = doors(again).open(stream, local=False)
    assert one.getsockname()[1] == stream.port, "and it is not bound once more"
    one.close()
    again.close()
    for end in (ours, heir.channel):
        assert end is not None
        end.close()
    os.close(lock)


def test_what_is_not_wanted_any_more_is_let_go() -> None:
    first, second = Stream("tcp", free_port()), Stream("tcp", free_port())
    listeners = Listeners()
    for stream in (first, second):
        for sock in doors(listeners).open(stream, local=True):
            sock.close()
    listeners.keep_used()
    assert len(listeners.held) == 2, "ports of apps are not those of the configuration"
    inherited = Listeners(listeners.held)
    for sock in doors(inherited).open(first, local=True):
        sock.close()
    inherited.keep_used(STREAMS)
    assert [one.wanted for one in inherited.held] == [f"127.0.0.1:{first.port}"]
    doors(inherited).close(first)
    assert inherited.held == ()
    socket.create_server(("127.0.0.1", first.port)).close()


def test_another_address_takes_the_place_of_the_first() -> None:
    stream = Stream("tcp", free_port())
    listeners = Listeners()
    for sock in StreamDoors(listeners, ("0.0.0.0",)).open(stream, local=False):
        sock.close()
    for sock in StreamDoors(listeners, ("0.0.0.0",)).open(stream, local=True):
        sock.close()
    assert [one.wanted for one in listeners.held] == [f"127.0.0.1:{stream.port}"]
    listeners.close()


def test_what_cannot_be_had_on_every_address_is_held_on_none() -> None:
    stream = Stream("tcp", free_port())
    listeners = Listeners()
    with pytest.raises(Conflict):
        StreamDoors(listeners, ("127.0.0.1", "192.0.2.9")).open(stream, local=False)
    assert listeners.held == ()

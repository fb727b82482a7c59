from __future__ import annotations

import asyncio
import socket

import pytest
from kit.box import free_port

from minipaas.ingress import Ingress
from minipaas.ingress.listen import bind
from minipaas.model.errors import MinipaasError

from .peers import CLOSE, PATIENCE, status


def test_a_taken_port_is_said_with_what_to_do_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, free = taken.getsockname()[1], free_port()
        with pytest.raises(MinipaasError) as raised:
            bind([("127.0.0.1", free), ("127.0.0.1", port)], 16)
        assert str(raised.value) == f"cannot listen on 127.0.0.1:{port}: another program has this port"
        assert raised.value.code == "ingress.port_in_use" and f"sport = :{port}" in raised.value.hint
        socket.create_server(("127.0.0.1", free)).close()


def test_an_address_of_another_box() -> None:
    with pytest.raises(MinipaasError) as raised:
        bind([("192.0.2.1", 8080)], 16)
    assert raised.value.code == "ingress.no_such_address"


def test_a_port_that_was_just_closed_can_be_had_again() -> None:
    (first,) = bind([("127.0.0.1", 0)], 16)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = first.accept()
        accepted.close()
    first.close()
    (second,) = bind([("127.0.0.1", port)], 16)
    assert second.getsockname()[1] == port
    second.close()


async def test_several_listeners_and_both_families() -> None:
    ingress = Ingress()
    await ingress.start([("127.0.0.1", 0), ("0.0.0.0", 0), ("::1", 0)])
    try:
        assert [address for address, _ in ingress.addresses] == ["127.0.0.1", "0.0.0.0", "::1"]
        for address, port in ingress.addresses:
            reader, writer = await asyncio.open_connection(address.replace("0.0.0.0", "127.0.0.1"), port)
            writer.write(CLOSE)
            assert status(await asyncio.wait_for(reader.read(-1), PATIENCE)) == 404
            writer.close()
    finally:
        await ingress.close(0.0)


async def test_start_can_be_tried_again_on_another_port() -> None:
    ingress = Ingress()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(MinipaasError):
            await ingress.start([taken.getsockname()])
        assert ingress.addresses == ()
        await ingress.start([("127.0.0.1", 0)])
        assert len(ingress.addresses) == 1
    await ingress.close(0.0)

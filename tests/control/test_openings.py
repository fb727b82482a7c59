"""Ports of the box that a release wants: refused before anything is started, opened with the switch, kept trying."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
from kit.box import free_port

from minipaas.model.change import ChangeState
from minipaas.model.errors import Conflict
from minipaas.model.stream import Stream
from tests.boxes import RunningBox, fake, running_box, started, toml
from tests.fakepodman.server import FakePodman

__all__ = ["fake", "started"]


def shop(port: int, version: str = "1.0") -> str:
    return toml(version=version, extra=f"tcp = {{ listen = {port}, port = 8080 }}")


async def ask(port: int) -> str:
    """The head of what a connection to this port gets: the fake container speaks HTTP on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(60):
        head = (await reader.read()).decode()
    writer.close()
    return head


async def test_a_port_is_open_while_the_app_is_there(started: RunningBox) -> None:
    port = free_port()
    assert (await started.deploy(shop(port))).state is ChangeState.DONE
    assert "200 OK" in await ask(port)
    assert (await started.deploy(shop(port, "1.1"), version="1.1")).state is ChangeState.DONE
    assert "X-Instance: minipaas-shop-web-1-2" in await ask(port) or "200 OK" in await ask(port)
    (counted,) = started.control.ingress.counters().streams
    assert (counted.stream, counted.app, counted.service) == (Stream("tcp", port), "shop", "web")
    assert counted.connections >= 2
    await started.ended(await started.control.remove("shop", purge=False, actor="test", origin="test"))
    with pytest.raises(ConnectionRefusedError):
        await ask(port)


async def test_the_port_of_another_program_is_refused_before_anything_is_started(started: RunningBox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict) as refused:
            await started.deploy(shop(port))
    assert refused.value.code == "port.in_use"
    assert f"cannot listen on tcp {port} of 127.0.0.1: another program has this port" in refused.value.message
    assert f"ss -ltnp 'sport = :{port}'" in refused.value.hint
    assert (await started.control.registry.desired()).apps == ()
    assert started.instances() == ()


async def test_a_udp_port_too(started: RunningBox) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(Conflict) as refused:
            await started.deploy(toml(extra=f"udp = {other.getsockname()[1]}"))
    assert refused.value.code == "port.in_use"
    assert "ss -lunp" in refused.value.hint


async def test_the_boxs_own_port_is_refused_by_name(started: RunningBox) -> None:
    port = started.control.ingress.addresses[0][1]
    with pytest.raises(Conflict) as refused:
        await started.deploy(shop(port))
    assert refused.value.code == "port.own"
    assert "for the routes of apps" in refused.value.message


async def test_an_address_of_another_box(fake: FakePodman, tmp_path: Path) -> None:
    from msgspec.structs import replace

    from tests.boxes import config

    settings = config(fake)
    settings = replace(settings, ingress=replace(settings.ingress, streams=("192.0.2.7",)))
    async with running_box(fake, tmp_path, settings) as box:
        await box.trust()
        with pytest.raises(Conflict) as refused:
            await box.deploy(shop(free_port()))
    assert refused.value.code == "port.address"
    assert "ingress.streams" in refused.value.hint


async def test_a_port_that_is_lost_fails_the_change_and_what_served_serves_on(started: RunningBox) -> None:
    """Nobody looks at ports before a rollback, so it meets the other program at the switch."""
    first, second = free_port(), free_port()
    await started.deploy(shop(first))
    await started.deploy(shop(second, "1.1"), version="1.1")
    with socket.create_server(("127.0.0.1", first)):
        change = await started.control.rollback("shop", None, actor="test", origin="test")
        ended = await started.ended(change)
        assert ended.state is ChangeState.FAILED
        assert f"cannot listen on tcp {first}" in ended.reason
    assert "200 OK" in await ask(second)
    with pytest.raises(ConnectionRefusedError):
        await ask(first)


async def test_after_a_restart_the_box_tries_again_and_says_so(fake: FakePodman, tmp_path: Path) -> None:
    port = free_port()
    async with running_box(fake, tmp_path) as box:
        await box.trust()
        await box.deploy(shop(port))
    with socket.create_server(("127.0.0.1", port)):
        async with running_box(fake, tmp_path) as box:
            stream = Stream("tcp", port)
            await box.until(lambda: "another program" in box.control.observed.closed.get(stream, ""))
            async with aiohttp.ClientSession(box.url) as session:
                async with session.get("/api/v1/apps") as answer:
                    told = await answer.json()
                async with session.get("/") as answer:
                    page = await answer.text()
            assert told["well"] is False
            assert "another program has this port" in told["sentence"]
            assert "another program" in told["apps"][0]["routes"][-1]["trouble"]
            assert f"cannot listen on tcp {port}" in page
    async with running_box(fake, tmp_path) as box:
        await box.until(lambda: not box.control.observed.closed and box.control.observed.streams)
        assert "200 OK" in await ask(port)

"""Ports of instances over the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.boxes import RunningBox, fake, started, toml  # noqa: F401 - fixtures

FORWARD = "/api/v1/apps/shop/forward"


@pytest.fixture
async def shop(started: RunningBox) -> RunningBox:  # noqa: F811
    """A box on which shop runs."""
    await started.deploy(toml())
    return started


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A port on which somebody answers what they hear, and says goodbye."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.write(b"bye")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def forwarding(
    box: RunningBox, token: str, *ports: int
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, str]]:
    """An open forward, and its lease."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, session.ws_connect(box.url + FORWARD, headers=headers) as socket:
        await socket.send_json({"ports": ports})
        opened = await socket.receive_json(timeout=20)
        assert opened["type"] == "opened", opened
        yield socket, opened["lease"]["id"]


async def talk(box: RunningBox, token: str, lease: str, port: int, said: bytes = b"") -> tuple[bytes, dict[str, Any]]:
    """What one connection gives, and how it ends."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{box.url}/api/v1/leases/{lease}/connect?port={port}"
    heard = b""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
        if said:
            await socket.send_bytes(said)
            await socket.send_json({"type": "eof"})
        while True:
            message = await socket.receive(timeout=20)
            if message.type is aiohttp.WSMsgType.BINARY:
                heard += message.data
            elif message.type is aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                if told["type"] in ("ended", "error"):
                    return heard, told
            else:
                raise AssertionError(message)


async def test_bytes_go_both_ways_and_the_end_too(shop: RunningBox, echo: int) -> None:
    token = await shop.token("admin")
    async with forwarding(shop, token, echo) as (_, lease):
        for _ in range(2):
            heard, ended = await talk(shop, token, lease, echo, b"x" * 50_000)
            assert (heard, ended["ending"]) == (b"x" * 50_000 + b"bye", "done")


async def test_nobody_listens(shop: RunningBox) -> None:
    token = await shop.token("admin")
    async with forwarding(shop, token, 1) as (_, lease):
        _, ended = await talk(shop, token, lease, 1)
    assert ended["ending"] == "failed"
    assert "refused" in ended["text"].lower()


async def test_it_is_for_its_ports_and_for_whoever_opened_it(shop: RunningBox, echo: int) -> None:
    token, other = await shop.token("admin", "one"), await shop.token("admin", "two")
    async with forwarding(shop, token, echo) as (_, lease):
        _, ended = await talk(shop, token, lease, 22)
        assert ended["error"]["code"] == "access.port"
        _, ended = await talk(shop, other, lease, echo)
        assert ended["error"]["code"] == "access.not_open"
    await shop.until(lambda: not shop.control.access.leases.open_now)
    _, ended = await talk(shop, token, lease, echo)
    assert ended["error"]["code"] == "access.not_open"


async def test_the_end_of_the_access_ends_its_connections(shop: RunningBox, echo: int) -> None:
    token = await shop.token("admin")
    async with forwarding(shop, token, echo) as (socket, lease):
        talking = asyncio.create_task(talk(shop, token, lease, echo))
        await shop.until(
            lambda: any(one.command[0] == "nc" and one.pid for one in shop.fake.world.state.execs.values())
        )
        shop.control.access.leases.revoke(lease, "a test")
        _, ended = await talking
        assert ended["ending"] == "revoked"
        assert (await socket.receive_json(timeout=20))["ending"] == "revoked"


async def test_the_end_of_the_instance_is_said(shop: RunningBox, echo: int) -> None:
    async with forwarding(shop, await shop.token("admin"), echo) as (socket, _):
        shop.fake.crash(shop.running()[0])
        assert (await socket.receive_json(timeout=20))["text"] == "the instance ended"

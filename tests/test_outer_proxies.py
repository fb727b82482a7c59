"""Proxies of the operator's own in front of a box, set up as the handbook says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from kit.box import REPO, free_port

from tests.boxes import RunningBox, config, running_box, toml
from tests.fakepodman.server import FakePodman

BOOK = (REPO / "docs" / "operator-handbook.md").read_text()
CLIENT = "127.0.0.2"
"""Not the proxy's address."""
START = 20.0
"""Seconds that a proxy may take to listen."""
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log nginx.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {snippet}
}}
"""
CADDY = "{{\n    admin off\n    default_bind 127.0.0.1\n    auto_https off\n}}\n{snippet}"
LIES = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
}


def snippet(language: str, ingress: int, here: str) -> str:
    """What the handbook says, for these ports. `here`: what it has to listen on instead of port 80."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", BOOK, re.DOTALL)
    assert "127.0.0.1:8080" in found
    usual = {"nginx": "listen 80;", "caddyfile": ":80 {"}[language]
    assert usual in found
    return str(found).replace("127.0.0.1:8080", f"127.0.0.1:{ingress}").replace(usual, here)


@contextlib.asynccontextmanager
async def outer(name: str, ingress: int, directory: Path) -> AsyncIterator[int]:
    """The proxy, started; the port where it answers."""
    port = free_port()
    program = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, f"{name} is missing: it comes with Debian's package {name}"
    if name == "nginx":
        text = NGINX.format(snippet=snippet("nginx", ingress, f"listen 127.0.0.1:{port};"))
        arguments = ["-p", str(directory), "-e", "nginx.log", "-c", "settings"]
    else:
        text = CADDY.format(snippet=snippet("caddyfile", ingress, f":{port} {{"))
        arguments = ["run", "--config", "settings", "--adapter", "caddyfile"]
    (directory / "settings").write_text(text)
    with (directory / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, cwd=directory, env={**os.environ, "HOME": str(directory)}, stdout=said, stderr=said
        )
    try:
        async with asyncio.timeout(START):
            while True:
                assert process.returncode is None, (directory / "said").read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


@pytest.fixture(params=["nginx", "caddy"])
async def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[RunningBox, int]]:
    """A box with an app behind a proxy, and the proxy's port."""
    (tmp_path / "proxy-home").mkdir()
    with FakePodman(tmp_path) as fake:
        ingress = msgspec.structs.replace(config(fake).ingress, trusted_proxies=("127.0.0.1",))
        async with running_box(fake, tmp_path, msgspec.structs.replace(config(fake), ingress=ingress)) as box:
            await box.trust()
            await box.deploy(toml())
            inner = box.control.ingress.addresses[0][1]
            async with outer(request.param, inner, tmp_path / "proxy-home") as port:
                yield box, port


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(CLIENT, 0)), headers={"Host": "shop.local"})


async def test_the_app_sees_the_client_and_nothing_that_it_made_up(proxied: tuple[RunningBox, int]) -> None:
    _, port = proxied
    async with client() as http:
        for lies in ({}, LIES):
            async with http.post(f"http://127.0.0.1:{port}/x?y=1", headers=lies, data=b"hello") as answer:
                assert answer.status == 200
                seen = await answer.json()
            told = {name: value for name, value in seen["headers"].items() if "forwarded" in name or "real" in name}
            assert told == {
                "x-forwarded-for": f"{CLIENT}, 127.0.0.1",
                "x-forwarded-proto": "http",
                "x-forwarded-host": "shop.local",
                "x-forwarded-port": "80",
                "forwarded": told["forwarded"],
            }
            assert told["forwarded"].startswith(f"for={CLIENT};proto=http")
            assert "6.6.6.6" not in told["forwarded"] and "evil" not in told["forwarded"]
            assert (seen["path"], seen["host"], seen["body"]) == ("/x?y=1", "shop.local", "hello")


async def test_a_websocket_goes_through_both(proxied: tuple[RunningBox, int]) -> None:
    _, port = proxied
    async with client() as http, http.ws_connect(f"http://127.0.0.1:{port}/ws", max_msg_size=1 << 21) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=START) == "hello"
        blob = bytes(range(256)) * 2048
        await socket.send_bytes(blob)
        assert await socket.receive_bytes(timeout=START) == blob
    assert socket.close_code == 1000

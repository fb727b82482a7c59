"""Proxies of the operator's own in front of a box, set up as the handbook says."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from kit.box import REPO, free_port

from minipaas.ingress.core import Core
from minipaas.ingress.limits import Limits
from tests.boxes import RunningBox, config, running_box, toml
from tests.fakepodman.server import FakePodman
from tests.listening import listening
from tests.surface.test_outer import HOSTS, PATHS, ROUTES

BOOK = (REPO / "docs" / "operator-handbook.md").read_text()
CLIENT = "127.0.0.2"
"""Not the proxy's address."""
PATIENCE = 60.0
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
TRAEFIK = """{snippet}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
accessLog: {{filePath: requests, format: json}}
"""
LIES = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
}


def snippet(language: str, box: str, usual: str, here: str) -> str:
    """What the handbook says, with the address `box` of this one, and `here` what to listen on instead of `usual`."""
    (found,) = (one for one in re.findall(rf"```{language}\n(.*?)```", BOOK, re.DOTALL) if usual in one)
    theirs = "127.0.0.1:7070" if language == "yaml" else "127.0.0.1:8080"
    assert theirs in found
    return str(found).replace(theirs, box).replace(usual, here)


@contextlib.asynccontextmanager
async def outer(name: str, box: RunningBox, directory: Path) -> AsyncIterator[int]:
    """The proxy, started; the port where it answers."""
    port = free_port()
    ingress = f"127.0.0.1:{box.control.ingress.addresses[0][1]}"
    # Traefik comes from its package on PyPI, into the bin of this Python.
    program = shutil.which(
        name, path=f"/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:{Path(sys.executable).parent}"
    )
    assert program, f"{name} is missing: scripts/lib.sh installs it"
    if name == "nginx":
        text = NGINX.format(snippet=snippet("nginx", ingress, "listen 80;", f"listen 127.0.0.1:{port};"))
        arguments = ["-p", str(directory), "-e", "nginx.log", "-c", "settings"]
    elif name == "caddy":
        text = CADDY.format(snippet=snippet("caddyfile", ingress, ":80 {", f":{port} {{"))
        arguments = ["run", "--config", "settings", "--adapter", "caddyfile"]
    else:
        text = TRAEFIK.format(snippet=snippet("yaml", box.url.removeprefix("http://"), '":80"', f'"127.0.0.1:{port}"'))
        arguments = ["--configFile=settings.yaml"]
        (directory / "settings.yaml").write_text(text)
    (directory / "settings").write_text(text)
    async with listening(directory, program, *arguments, ports=(port,)):
        yield port


@contextlib.asynccontextmanager
async def behind(name: str, directory: Path, *routes: str) -> AsyncIterator[tuple[RunningBox, int]]:
    """A box with an app behind a proxy, and the proxy's port."""
    (directory / "proxy-home").mkdir()
    with FakePodman(directory) as fake:
        ingress = msgspec.structs.replace(config(fake).ingress, trusted_proxies=("127.0.0.1",))
        async with running_box(fake, directory, msgspec.structs.replace(config(fake), ingress=ingress)) as box:
            await box.trust()
            await box.deploy(toml(routes=", ".join(f'"{one}"' for one in routes)))
            async with outer(name, box, directory / "proxy-home") as port:
                if name == "traefik":
                    await learnt(box, port)
                yield box, port


async def learnt(box: RunningBox, port: int, host: str = "shop.local") -> None:
    """Traefik asks for the routes when it has begun to listen, and again every few seconds."""

    async def look() -> bool:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port}/", headers={"Host": host}) as one,
        ):
            return one.status == 200

    await box.until(look)


@pytest.fixture(params=["nginx", "caddy", "traefik"])
async def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[RunningBox, int]]:
    async with behind(request.param, tmp_path, "shop.local") as made:
        yield made


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
        assert await socket.receive_str(timeout=PATIENCE) == "hello"
        blob = bytes(range(256)) * 2048
        await socket.send_bytes(blob)
        assert await socket.receive_bytes(timeout=PATIENCE) == blob
    assert socket.close_code == 1000


async def test_traefik_learns_the_routes_and_chooses_as_the_box_does(tmp_path: Path) -> None:
    async with behind("traefik", tmp_path, *ROUTES) as (box, port):
        core = Core(Limits())
        core.swap(box.control.observed.routes)
        names = {f"shop-web-{number}@http": str(one.route) for number, one in enumerate(box.control.observed.routes, 1)}
        expected = []
        async with aiohttp.ClientSession() as http:
            for host in HOSTS:
                for path in PATHS:
                    async with http.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}) as answer:
                        assert answer.status == 200, (host, path)
                    target = core.table.lookup(host.encode(), path.encode())
                    assert target is not None
                    expected.append((host, path, str(target.entry.route)))
        told = [json.loads(line) for line in (tmp_path / "proxy-home/requests").read_text().splitlines()]
        chosen = [
            (one["RequestHost"], one["RequestPath"], names[one["RouterName"]]) for one in told if "RouterName" in one
        ]
        assert chosen[-len(expected) :] == expected

        await box.deploy(toml(version="2.0", routes='"new.local"'), version="2.0")
        await learnt(box, port, "new.local")
        async with client() as http, http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 404, "the route is gone"

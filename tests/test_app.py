"""`minipaas serve` as a process: it stops in time whatever is under way, and does not linger without a heart."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.boxes import config, running_box, toml
from tests.bundle.builders import default_trust, make_bundle
from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.server import FakePodman

IN_TIME = 45.0


@asynccontextmanager
async def served(fake: FakePodman, tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """A box in a process of its own, and its socket."""
    data = tmp_path / "data"
    text = '[api]\nlisten = ["127.0.0.1:0"]\n[ingress]\nhttp = ["127.0.0.1:0"]\n[limits]\nreserve = "1KiB"\n'
    config = tmp_path / "config.toml"
    config.write_text(f'{text}[podman]\nsocket = "unix://{fake.socket}"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "minipaas", "serve", "--config", str(config), "--data", str(data)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(IN_TIME):
            assert process.stderr is not None
            async for line in process.stderr:
                if line.startswith(b"INFO minipaas: socket "):
                    break
        yield process, data / "minipaas.sock"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def session(socket: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession("http://box", connector=aiohttp.UnixConnector(str(socket)))


def bundle(tmp_path: Path, version: str, sequence: int) -> bytes:
    text = toml(version=version).replace('stop = "1s"', 'stop = "60s"')
    return make_bundle(
        tmp_path, name=f"{version}.bundle", version=version, sequence=sequence, app_toml=text, services=("web",)
    ).read_bytes()


async def called(fake: FakePodman, call: str, times: int) -> None:
    """Wait until the box has asked Podman for it so many times."""
    for _ in range(int(IN_TIME / 0.02)):
        if fake.calls[call] >= times:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{call}: {fake.calls[call]} times")


async def stalled(data: bytes) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    await asyncio.sleep(3600)


async def test_it_stops_in_time_with_streams_uploads_and_a_stubborn_container(tmp_path: Path) -> None:
    with FakePodman(tmp_path) as fake:
        fake.behave(Behaviour(ignores_term=True))
        async with served(fake, tmp_path) as (process, socket), session(socket) as http:
            async with http.post("/api/v1/trust", data=default_trust()[1]) as answer:
                assert answer.status == 201
            for number in (1, 2):
                async with http.put("/api/v1/bundles", data=bundle(tmp_path, f"{number}.0", number)) as answer:
                    assert answer.status == 202, await answer.text()
                await called(fake, "POST containers/create", number)
            await called(fake, "POST containers/{name}/stop", 1)
            upload = asyncio.create_task(
                http.put("/api/v1/bundles", data=stalled(bundle(tmp_path, "3.0", 3))).__aenter__(), name="upload"
            )
            async with http.get("/api/v1/events"):
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(IN_TIME):
                    assert await process.wait() == 0
            await asyncio.gather(upload, return_exceptions=True)
            assert len(fake.running) == 2, "the apps keep running"


async def test_a_box_whose_heart_has_failed_does_not_linger(tmp_path: Path) -> None:
    with FakePodman(tmp_path) as fake, pytest.raises(BaseExceptionGroup):
        async with asyncio.timeout(IN_TIME), running_box(fake, tmp_path) as box:
            news = box.control._reconciler._news
            del box.control._reconciler._news  # no such thing can happen; if it does, it must be seen
            news.set()
            await asyncio.sleep(IN_TIME)


async def test_what_config_toml_says_of_proxies_and_of_the_access_log(tmp_path: Path) -> None:
    told = {"trusted_proxies": ("127.0.0.1",), "access_log": "logs/access.log", "access_log_query": True}
    with FakePodman(tmp_path) as fake:
        ingress = msgspec.structs.replace(config(fake).ingress, **told)
        async with running_box(fake, tmp_path, msgspec.structs.replace(config(fake), ingress=ingress)) as box:
            await box.trust()
            await box.deploy(toml())
            url = "http://{}:{}/cart?id=7".format(*box.control.ingress.addresses[0])
            headers = {"Host": "shop.local", "X-Forwarded-For": "192.0.2.7"}
            async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
                seen = await answer.json()
    assert seen["headers"]["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    lines = [json.loads(line) for line in (tmp_path / "data" / "logs" / "access.log").read_bytes().splitlines()]
    (one,) = [line for line in lines if line["path"] == "/cart"]
    assert (one["client"], one["peer"], one["query"], one["app"]) == ("192.0.2.7", "127.0.0.1", "id=7", "shop")

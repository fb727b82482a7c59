"""An engine on a fake Podman, and what tests do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minipaas.engine.engine import Engine
from minipaas.model.launch import Launch, network_name
from minipaas.model.observed import Instance
from tests.fakepodman import FakePodman

PATIENCE = 60.0
BOX = "box-1"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakePodman]:
    with FakePodman(tmp_path) as podman:
        yield podman


class News:
    """Counts how often the engine said "look again"."""

    def __init__(self) -> None:
        self.count = 0
        self._heard = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._heard.set()

    async def next(self) -> None:
        self._heard.clear()
        await asyncio.wait_for(self._heard.wait(), PATIENCE)


@pytest.fixture
async def news() -> News:
    return News()


@pytest.fixture
async def engine(fake: FakePodman, tmp_path: Path, news: News) -> AsyncIterator[Engine]:
    connected = await Engine.connect(fake.socket, data=tmp_path, box=BOX, on_news=news)
    yield connected
    await connected.close()


def make_launch(image: str, **changes: Any) -> Launch:
    fields: dict[str, Any] = {
        "app": "shop",
        "service": "web",
        "release": "sha256:" + "a" * 64,
        "slot": 1,
        "generation": 1,
        "attempt": 0,
        "fingerprint": "f" * 16,
        "image": image,
        "entrypoint": None,
        "command": None,
        "env": {},
        "port": 8080,
        "published": (),
        "volumes": {},
        "memory": None,
        "cpus": None,
        "pids": 256,
        "read_only": True,
        "capabilities": (),
        "user": None,
        "workdir": None,
        "stop": 1.0,
    } | changes
    fields.setdefault("name", f"minipaas-{fields['app']}-{fields['service']}-{fields['slot']}-{fields['generation']}")
    return Launch(**fields)


async def launch_one(engine: Engine, launch: Launch) -> str:
    """Network, container, start; the id."""
    await engine.ensure_network(launch.app)
    container = await engine.create(launch)
    await engine.start(container)
    return container


async def look(engine: Engine, container: str) -> Instance:
    sighting = await engine.observe()
    return next(instance for instance in sighting.instances if instance.id == container)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Poll with a deadline."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


__all__ = ["BOX", "News", "launch_one", "look", "make_launch", "network_name", "until"]

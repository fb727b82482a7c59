"""A whole box on the fake Podman: every room is real, only the containers are made up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from minipaas.app import box
from minipaas.control.control import Control
from minipaas.model.change import Change
from minipaas.model.config import ApiConfig, Config, IngressConfig, LimitsConfig, PodmanConfig
from minipaas.model.observed import Instance
from minipaas.model.units import Size
from minipaas.surface.server import Surface
from tests.bundle.builders import default_trust, make_bundle
from tests.fakepodman.server import FakePodman

PATIENCE = 90.0
SEQUENCES = itertools.count(int(time.time()))
"""Of all bundles of a run: a second box on the same data is brought newer ones than the first."""
TOML = """
[app]
name = "{app}"
version = "{version}"
[rollout]
confirm = "{confirm}"
drain = "1s"
deadline = "{deadline}"
[services.web]
image = "x"
port = 8080
replicas = {replicas}
routes = [{routes}]
stop = "1s"
env = {{ FAKE = "{fake}" }}
health = {{ http = "/", interval = "100ms", timeout = "5s", grace = "500ms", retries = 2 }}
{extra}
"""


def toml(
    app: str = "shop",
    version: str = "1.0",
    *,
    fake: str = "",
    replicas: int = 1,
    routes: str = '"shop.local"',
    confirm: str = "100ms",
    deadline: str = "60s",
    extra: str = "",
) -> str:
    """One routed web service; `fake` says how its containers behave."""
    return TOML.format(
        app=app,
        version=version,
        fake=fake,
        replicas=replicas,
        routes=routes,
        confirm=confirm,
        deadline=deadline,
        extra=extra,
    )


class RunningBox:
    """A started box and what a test asks of it."""

    def __init__(self, control: Control, surface: Surface, fake: FakePodman, tmp_path: Path) -> None:
        self.control = control
        self.surface = surface
        self.fake = fake
        self._tmp = tmp_path
        self.actor, self.origin = "test", "test"
        """Who all this is done by, and from where."""

    @property
    def directory(self) -> Path:
        """Where its bundles are made."""
        return self._tmp

    @property
    def url(self) -> str:
        """Of API and status page."""
        host, port = self.surface.addresses[0]
        return f"http://{host}:{port}"

    async def token(self, role: str, name: str = "") -> str:
        """The secret of a new token."""
        return await self.control.registry.add_token(
            name or f"{role}-{time.monotonic_ns()}", role, time.time(), actor=self.actor, origin=self.origin
        )

    async def trust(self) -> None:
        await self.control.add_root(default_trust()[1], actor=self.actor, origin=self.origin)

    async def deploy(
        self, text: str, *, services: tuple[str, ...] = ("web",), version: str = "1.0", app: str = "shop"
    ) -> Change:
        """Make a bundle, send it, wait until its change has ended."""
        return await self.ended(await self.send(text, services=services, version=version, app=app))

    async def send(
        self, text: str, *, services: tuple[str, ...] = ("web",), version: str = "1.0", app: str = "shop"
    ) -> Change:
        """Make a bundle and send it; returns the change that has begun."""
        return await self.send_file(self.bundle(text, services=services, version=version, app=app))

    def bundle(
        self,
        text: str,
        *,
        services: tuple[str, ...] = ("web",),
        version: str = "1.0",
        app: str = "shop",
        **more: object,
    ) -> Path:
        """A bundle that this box takes: each is newer than the one before."""
        sequence = next(SEQUENCES)
        return make_bundle(
            self._tmp,
            name=f"{sequence}.bundle",
            app=app,
            version=version,
            sequence=sequence,
            app_toml=text,
            services=services,
            **more,
        )

    async def send_file(self, path: Path) -> Change:
        data = path.read_bytes()  # noqa: ASYNC240 - small, and on this machine

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 1000):
                yield data[start : start + 1000]

        return await self.control.receive_bundle(chunks(), len(data), actor=self.actor, origin=self.origin)

    async def ended(self, change: Change) -> Change:
        """The change when it has ended."""

        async def look() -> Change | None:
            now = await self.control.registry.change(change.id)
            return None if now.state.active else now

        return await self.until(look)

    async def until(self, look: Callable[[], object]) -> object:
        """Poll until `look` gives something true."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = look()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)

    async def get(self, host: str = "shop.local", path: str = "/") -> tuple[int, str]:
        """Status and the name of the container that answered, through the ingress."""
        _, port = self.control.ingress.addresses[0]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}) as answer,
        ):
            await answer.read()
            return answer.status, answer.headers.get("X-Instance", "")

    def instances(self, app: str = "shop") -> tuple[Instance, ...]:
        return self.control.observed.of(app)

    def running(self, app: str = "shop") -> list[str]:
        return sorted(one.name for one in self.instances(app) if one.running)


def config(fake: FakePodman, **limits: int) -> Config:
    return Config(
        api=ApiConfig(listen=("127.0.0.1:0",)),
        ingress=IngressConfig(http=("127.0.0.1:0",)),
        podman=PodmanConfig(socket=f"unix://{fake.socket}"),
        limits=LimitsConfig(reserve=Size(1024), **limits),
    )


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakePodman]:
    async with FakePodman(tmp_path) as one:
        yield one


@contextlib.asynccontextmanager
async def running_box(fake: FakePodman, tmp_path: Path, settings: Config | None = None) -> AsyncIterator[RunningBox]:
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    async with box(settings or config(fake), data) as (control, surface):
        yield RunningBox(control, surface, fake, tmp_path)


@pytest.fixture
async def started(fake: FakePodman, tmp_path: Path) -> AsyncIterator[RunningBox]:
    """A box that trusts the test's author."""
    async with running_box(fake, tmp_path) as one:
        await one.trust()
        yield one

"""A small box behind a real surface: real registry, blob store, sockets and HTTP; what acts on Podman is left out.

`SmallControl` does what the API asks of control against the registry alone, so that a test says what is observed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec

from minipaas.certs.keeper import Keeper
from minipaas.control.comparisons import Comparisons
from minipaas.control.held import HeldBundles, Hold
from minipaas.control.intake import Intake
from minipaas.control.named import Named
from minipaas.control.openings import Openings
from minipaas.engine.info import EngineInfo
from minipaas.forensics.access import Access
from minipaas.forensics.shelf import Shelf
from minipaas.ingress import Ingress
from minipaas.model.change import Change
from minipaas.model.config import Config
from minipaas.model.errors import MinipaasError, Missing, Refused
from minipaas.model.logs import Source
from minipaas.model.observed import HealthState, Instance, InstanceState, Observed
from minipaas.model.release import Release
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.surface.limits import LIMITS, Limits
from minipaas.surface.ports import ShippingPort
from minipaas.surface.server import Surface
from minipaas.takeover.own import Own
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.telemetry import Telemetry
from tests.registry.made import release
from tests.telemetry.logs.conmon import Conmon

SECRET = "hunter2-do-not-show"
"""In every release's environment: no answer may ever contain it."""


class SmallEngine:
    def __init__(self) -> None:
        self.info = EngineInfo(
            socket="unix:///none",
            version="4.3.1",
            rootless=False,
            runtime="crun",
            cgroup="v2",
            controllers=frozenset(),
            network_backend="netavark",
            selinux=False,
            userns_auto=False,
            init=False,
            boot="boot-1",
            nofile=1024,
            nproc=1024,
            graph_root="/none",
            platform="linux/amd64",
        )


class SmallIngress:
    addresses: tuple[tuple[str, int], ...] = (("0.0.0.0", 8080),)
    secure: tuple[tuple[str, int], ...] = ()


class SmallControl:
    """What the API asks of control, against the registry alone."""

    def __init__(self, data: Path, config: Config) -> None:
        self.data = data
        self.registry = Registry.open(data / "registry.db")
        self.blobs = BlobStore(data, ballast=0)
        self.comparisons = Comparisons(self.blobs.open)
        self.telemetry = Telemetry(data)
        self.shelf = Shelf(data, per_app=1 << 20, total=1 << 20)
        self.logs = Logs(data, config.logs)
        self.ingress = SmallIngress()
        self.engine = SmallEngine()
        self.config = config
        self.certificates: Keeper | None = None
        self.shipping: ShippingPort | None = None
        self.observed = Observed(boot="boot-1")
        self.access = Access(self.engine, self.registry, config.access, data, lambda: self.observed)  # type: ignore[arg-type]
        self.trouble = ""
        intake = Intake(self.registry, self.blobs, config.limits, "linux/amd64", Openings(Ingress(), config))
        self.held = HeldBundles(
            intake, self.registry, self.blobs, lambda: self.observed, lambda: None, largest=int(config.limits.bundle)
        )
        self.told_warnings: tuple[str, ...] = ()
        self.refuse_uploads: MinipaasError | None = None
        self.broken: Exception | None = None
        """What a rollback trips over."""
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        """A rollback has begun; it may go on."""
        self.go_on.set()
        self.uploaded: list[tuple[str, int, bool]] = []
        """(sha256, bytes, by signature) of each whole body."""
        self.next: Release = release()

    async def receive_bundle(
        self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str, by_signature: bool = False
    ) -> Change:
        if length is not None and length > self.config.limits.bundle:
            raise Refused("cannot accept the bundle: it is too large", code="upload.too_large")
        if self.refuse_uploads is not None:
            raise self.refuse_uploads
        hashed, total = hashlib.sha256(), 0
        async for chunk in stream:
            hashed.update(chunk)
            total += len(chunk)
        self.uploaded.append((hashed.hexdigest(), total, by_signature))
        return await self.registry.accept(self.next, actor=actor, origin=origin, now=time.time())

    async def hold_bundle(self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str) -> Hold:
        return await self.held.hold(stream, length, Named(), actor=actor, origin=origin)

    def warnings(self, change: int) -> tuple[str, ...]:
        return self.told_warnings

    async def rollback(self, app: str, to: str | None, *, actor: str, origin: str) -> Change:
        self.asked.set()
        await self.go_on.wait()
        if self.broken is not None:
            raise self.broken
        return await self.registry.rollback(app, to=to, actor=actor, origin=origin, now=time.time())

    async def remove(self, app: str, *, purge: bool, actor: str, origin: str) -> Change:
        return await self.registry.remove(app, purge=purge, actor=actor, origin=origin, now=time.time())

    async def restart(self, app: str, service: str | None, *, actor: str, origin: str) -> Change:
        return await self.registry.restart(app, service, actor=actor, origin=origin, now=time.time())

    async def scale(self, app: str, service: str, replicas: int | None, *, actor: str, origin: str) -> Change:
        return await self.registry.scale(app, service, replicas, actor=actor, origin=origin, now=time.time())

    async def add_root(self, root: bytes, *, actor: str, origin: str) -> int:
        try:
            version = int(msgspec.json.decode(root)["signed"]["version"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise Refused("cannot trust the root: it is none", code="root.format") from None
        await self.registry.add_roots([(version, root)], actor, origin)
        return version

    async def reload_certificates(self, *, actor: str, origin: str) -> None:
        if self.certificates is None:
            raise Missing("cannot load certificates: TLS is off", code="certificate.off")
        await self.certificates.look(force=True)


class SmallBox:
    """A running surface and the ways to it."""

    def __init__(self, control: SmallControl, surface: Surface, data: Path) -> None:
        self.control = control
        self.registry = control.registry
        self.surface = surface
        self.socket = data / "minipaas.sock"
        self._data = data
        self._writers: dict[str, Conmon] = {}
        self._followed: dict[str, tuple[Source, str]] = {}

    @property
    def url(self) -> str:
        host, port = self.surface.addresses[0]
        return f"http://{host}:{port}"

    async def wrote(self, *texts: str | bytes, one: Instance | None = None, stream: str = "stdout") -> None:
        """An instance wrote these lines."""
        one = one or instance()
        writer = self._writers.get(one.id)
        if writer is None:
            path = self._data / "podman" / f"{one.id}.log"
            writer = self._writers[one.id] = Conmon(path, clock=time.time_ns)
            name = one.name.removeprefix("minipaas-")
            source = Source(container=one.id, app=one.app, service=one.service, instance=name, release=one.release)
            self._followed[one.id] = (source, str(path))
            self.control.logs.follow(self._followed)
        writer.write(*texts, stream=stream)
        await self.control.logs.round()

    def local(self) -> aiohttp.ClientSession:
        """As root, on the Unix socket."""
        return aiohttp.ClientSession("http://box", connector=aiohttp.UnixConnector(str(self.socket)))

    async def remote(self, role: str | None = None) -> aiohttp.ClientSession:
        """On TCP, with a new token for that role or without one."""
        headers = {}
        if role is not None:
            name = f"{role}-{time.monotonic_ns()}"
            secret = await self.registry.add_token(name, role, 1.0, actor="test", origin="test")
            headers["Authorization"] = f"Bearer {secret}"
        return aiohttp.ClientSession(self.url, headers=headers)


async def csrf_of(session: aiohttp.ClientSession) -> str:
    """The secret that the forms of a page carry for this visitor; empty for who is refused."""
    async with session.get("/sign-in", allow_redirects=False) as response:
        found = re.search(r'name="csrf" value="([^"]+)"', await response.text())
    return found[1] if found else ""


@contextlib.asynccontextmanager
async def small_box(
    tmp_path: Path, config: Config | None = None, limits: Limits = LIMITS, *, own: bool = False
) -> AsyncIterator[SmallBox]:
    """`own`: it is no part of another program, and knows of its own hand-overs."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    control = SmallControl(data, config or Config())
    surface = Surface(limits)
    try:
        itself = Own(data, control.config.upgrade) if own else None
        await surface.start(control, data / "minipaas.sock", [("127.0.0.1", 0)], own=itself)
        yield SmallBox(control, surface, data)
    finally:
        await surface.close()
        await control.logs.close()
        await control.telemetry.close()
        await control.registry.close()


def instance(app: str = "shop", service: str = "web", slot: int = 1, release: str = "", **values: object) -> Instance:
    """A running healthy one, unless said otherwise."""
    name = f"minipaas-{app}-{service}-{slot}-{values.get('generation', 1)}"
    usual: dict[str, object] = {
        "id": hashlib.sha256(name.encode()).hexdigest(),
        "name": name,
        "fingerprint": "print",
        "generation": 1,
        "attempt": 0,
        "state": InstanceState.RUNNING,
        "health": HealthState.HEALTHY,
        "started": 50.0,
    }
    return Instance(app=app, service=service, slot=slot, release=release, **{**usual, **values})  # type: ignore[arg-type]

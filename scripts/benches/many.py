"""Many apps on the tests' fake Podman, which is a process of its own so that its work is not counted.

The rooms are real: registry, engine, ingress, planner.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from kit.box import REPO

from minipaas.control.comparisons import Comparisons
from minipaas.control.execute import Executor
from minipaas.control.reconcile import Reconciler
from minipaas.control.scenes import Scenes
from minipaas.control.since import SinceGood
from minipaas.engine.engine import Engine
from minipaas.forensics.shelf import Shelf
from minipaas.ingress.ingress import Ingress
from minipaas.model.release import ImageRef, Release
from minipaas.model.spec import AppMeta, AppSpec, Health, Rollout, ServiceSpec
from minipaas.model.units import Duration
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.telemetry.telemetry import Telemetry

PATIENCE = 180.0


def fake(directory: Path) -> None:
    """Be the fake Podman until standard input ends; say the image's id first."""
    sys.path.insert(0, str(REPO))
    from tests.fakepodman import FakePodman

    with FakePodman(directory) as podman:
        print(podman.add_image("app"), flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def fake_process(directory: Path) -> Iterator[str]:
    """The fake in a process of its own; gives the image's id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benches.many", str(directory)],
        cwd=REPO / "scripts",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - they are pipes
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)


def release(app: str, replicas: int, image: str, fake: str = "") -> Release:
    """An app with one service, probed once an hour so that probes do not count either. `fake`: how its containers
    behave, see the fake's `Behaviour`."""
    health = Health(http="/", interval=Duration(3600), grace=Duration(60))
    service = ServiceSpec(
        image="localhost/app:1",
        port=8080,
        replicas=replicas,
        routes=(f"{app}.local",),
        health=health,
        env={"FAKE": fake} if fake else {},
    )
    return Release(
        digest="sha256:" + app.encode().hex().ljust(64, "0"),
        app=app,
        version="1.0.0",
        epoch=1,
        sequence=1,
        min_sequence=0,
        root_version=1,
        issued=0,
        valid_until=None,
        signers=("key",),
        images={"web": ImageRef(manifest=image, config=image, size=1, platform="linux/amd64")},
        blobs=(),
        spec=AppSpec(
            app=AppMeta(name=app, version="1.0.0"),
            services={"web": service},
            rollout=Rollout(confirm=Duration(0.1)),
        ),
    )


@contextlib.asynccontextmanager
async def running(
    directory: Path, image: str, apps: int, replicas: int, fakes: Sequence[str] = ()
) -> AsyncIterator[tuple[Registry, Reconciler, Executor]]:
    """So many apps, settled; nothing reconciles any more. `fakes`: how the containers of each app behave."""
    registry = Registry.open(directory / "registry.db")
    news: list[Callable[[], None]] = []

    def on_news() -> None:
        for tell in news:
            tell()

    engine = await Engine.connect(str(directory / "podman.sock"), data=directory, box=registry.box_id, on_news=on_news)
    ingress = Ingress()
    await ingress.start([("127.0.0.1", 0)])
    shelf = Shelf(directory, per_app=0, total=0)
    since = SinceGood(registry, Comparisons(BlobStore(directory).open), directory)
    scenes = Scenes(registry, engine, Telemetry(directory), shelf, _no_lines, since)
    executor = Executor(registry, engine, ingress, _NoImages(), scenes)
    reconciler = Reconciler(registry, engine, ingress, executor, scenes)
    news.append(reconciler.wake)
    for number in range(apps):
        one = release(f"app{number}", replicas, image, fakes[number] if fakes else "")
        await registry.accept(one, new_roots=(), actor="bench", origin="bench", now=time.time())
    bringing_up = asyncio.create_task(reconciler.run(), name="reconcile")
    try:
        await _settled(registry, reconciler, apps * replicas)
    finally:
        bringing_up.cancel()
        await asyncio.gather(bringing_up, return_exceptions=True)
    yield registry, reconciler, executor
    await ingress.close(0)
    await engine.close()
    await registry.close()


async def _settled(registry: Registry, reconciler: Reconciler, instances: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            desired = await registry.desired()
            healthy = sum(one.healthy for one in reconciler.observed.instances)
            if healthy == instances and all(app.change is None for app in desired.apps):
                return
            await asyncio.sleep(0.2)


async def _no_lines(_instance: str, _most: int) -> list[str] | None:
    """Nobody follows what is written here."""
    return None


class _NoImages:
    """The fake has the image already: nothing is pulled here."""

    username = ""
    password = ""

    def reference(self, app: str, digest: str) -> str:
        raise AssertionError(f"cannot pull {digest} of {app}: this box has no images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="be the fake Podman in this directory until standard input ends")
    fake(parser.parse_args().directory)

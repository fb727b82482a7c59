"""CPU milliseconds of reconcile rounds that have nothing to do, as a JSON list.

The rooms are real: registry, engine, ingress, planner. Podman is the tests' fake, in a process of its own, so that
its work is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kit.box import REPO

from minipaas.control.execute import Executor
from minipaas.control.lanes import Lanes
from minipaas.control.reconcile import Reconciler
from minipaas.engine.engine import Engine
from minipaas.ingress.ingress import Ingress
from minipaas.model.release import ImageRef, Release
from minipaas.model.spec import AppMeta, AppSpec, Health, ServiceSpec
from minipaas.model.units import Duration
from minipaas.registry.registry import Registry

APPS = 10
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
        [sys.executable, __file__, "--fake", str(directory)],
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


def release(app: str, replicas: int, image: str) -> Release:
    """An app with one service, probed once an hour so that probes do not count either."""
    health = Health(http="/", interval=Duration(3600), grace=Duration(60))
    service = ServiceSpec(
        image="localhost/app:1", port=8080, replicas=replicas, routes=(f"{app}.local",), health=health
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
        spec=AppSpec(app=AppMeta(name=app, version="1.0.0"), services={"web": service}),
    )


async def measure(directory: Path, image: str, instances: int, runs: int) -> list[float]:
    """Bring everything up, then count the CPU time of rounds that find nothing to do."""
    registry = Registry.open(directory / "registry.db")
    engine = await Engine.connect(
        str(directory / "podman.sock"), data=directory, box=registry.box_id, on_news=lambda: None
    )
    ingress = Ingress()
    await ingress.start([("127.0.0.1", 0)])
    executor = Executor(registry, engine, ingress, _NoImages())
    reconciler = Reconciler(registry, engine, ingress, executor)
    for number in range(APPS):
        one = release(f"app{number}", instances // APPS, image)
        await registry.accept(one, new_roots=(), actor="bench", origin="bench", now=time.time())
    running = asyncio.create_task(reconciler.run(), name="reconcile")
    try:
        await _settled(registry, reconciler, instances)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    taken = []
    async with asyncio.TaskGroup() as group:
        lanes = Lanes(registry, executor, group, lambda: None)
        for _ in range(runs):
            began = time.process_time()
            await reconciler.round(lanes)
            taken.append((time.process_time() - began) * 1000)
    await ingress.close(0)
    await engine.close()
    await registry.close()
    return taken


async def _settled(registry: Registry, reconciler: Reconciler, instances: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            desired = await registry.desired()
            healthy = sum(one.healthy for one in reconciler.observed.instances)
            if healthy == instances and all(app.change is None for app in desired.apps):
                return
            await asyncio.sleep(0.2)


class _NoImages:
    """The fake has the image already: nothing is pulled here."""

    username = ""
    password = ""

    def reference(self, app: str, digest: str) -> str:
        raise AssertionError(f"cannot pull {digest} of {app}: this box has no images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fake", type=Path)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args()
    if asked.fake:
        fake(asked.fake)
        return
    with tempfile.TemporaryDirectory(prefix="minipaas-rounds-") as name, fake_process(Path(name)) as image:
        print(json.dumps(asyncio.run(measure(Path(name), image, asked.instances, asked.runs))))


if __name__ == "__main__":
    main()

"""From the death of an instance to the first answer of its replacement, against `podman start` of the same image; and
what a scene costs of one that hangs (`hang`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tomli_w
from kit.box import Box, BoxError, fetch, wait_for
from kit.podman import PrivatePodman
from kit.stage import Stage, stage

from benches.hang import bench_hang
from benches.rows import Row, note

MORE = 0.25
"""Seconds that a replacement may take beyond a raw start, at the median."""
PORT = 8080
PATIENCE = 30.0


def bench_crash(runs: int) -> list[Row]:
    """Each run kills the instance of a service that has never failed: after a second failure in a row the box waits on
    purpose."""
    with stage(workshop=True) as on:
        box, podman = on.box, on.podman
        box.cli("deploy", _bundle(on, runs))
        image = podman.containers("mortal").popitem()[1]["Image"]
        replaced, raw = [], []
        for number in range(1, runs + 1):
            note(f"run {number} of {runs}")
            raw.append(_raw(podman, str(image)))
            replaced.append(_replaced(box, podman, number))
        groups = wait_for("every scene", lambda: _scenes(box, runs))
        whole = [box.cli("crash", "show", one, "--json").json["capsule"] for one in groups]
        missing = sorted({word for one in whole for word in one["missing"]})
        if missing:
            raise BoxError(f"scenes are not complete: {', '.join(missing)}")
    more = [ours - theirs for ours, theirs in zip(replaced, raw, strict=True)]
    return [
        Row("podman start until it answers", raw, "s"),
        Row("SIGKILL until the replacement answers through the ingress", replaced, "s"),
        Row("that much more, at the median", [statistics.median(more)], "s", MORE, f"{runs} scenes, all complete"),
        Row("a scene, from the end to its last byte", [one["took"] for one in whole], "s"),
        *bench_hang(runs),
    ]


def _bundle(on: Stage, services: int) -> Path:
    """An app with so many services, each with one instance and a route of its own."""
    source = on.source("mortal")
    one = {
        "build": ".",
        "port": PORT,
        "memory": "32MiB",
        "health": {"http": "/", "interval": "2s", "timeout": "2s", "grace": "20s"},
    }
    spec = {
        "app": {"name": "mortal", "version": "1.0.0"},
        "services": {f"w{n}": one | {"routes": [f"w{n}.localhost"]} for n in range(1, services + 1)},
    }
    (source / "app.toml").write_text(tomli_w.dumps(spec))
    return on.author.build(source, "mortal")


def _replaced(box: Box, podman: PrivatePodman, number: int) -> float:
    (container,) = [name for name in podman.containers("mortal") if f"-w{number}-" in name]
    podman.run("kill", "-s", "KILL", container)
    return _until(lambda: box.get("/", host=f"w{number}.localhost").status == 200)


def _raw(podman: PrivatePodman, image: str) -> float:
    """A container that is made already is started."""
    published = f"127.0.0.1::{PORT}"
    limits = ("--memory", "32m", "--cap-drop", "all", "--read-only", "--init")
    container = podman.run("create", "-q", "-p", published, *limits, image).strip()
    try:
        began = time.monotonic()
        podman.run("start", container)
        port = int(podman.run("port", container, str(PORT)).strip().rpartition(":")[2])
        return time.monotonic() - began + _until(lambda: fetch(port).status == 200)
    finally:
        podman.run("rm", "-f", "-t", "0", container)


def _until(answers: Callable[[], bool]) -> float:
    """Seconds until it does."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        try:
            if answers():
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.002)
    raise BoxError(f"nothing answers after {PATIENCE:.0f} s")


def _scenes(box: Box, count: int) -> list[str]:
    """The groups of the scenes, once there are so many: equal failures of different services are different ones."""
    found = [one["id"] for one in box.cli("crashes", "mortal", "--json").json["groups"]]
    return found if len(found) == count else []

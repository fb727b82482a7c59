"""Whole processes from their first moment: from the sources, as the program tree, and as the one file."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kit.box import REPO, Author, Box, BoxError, Program, fetch, prepare
from kit.podman import PrivatePodman

from benches.many import fake_process, running
from benches.rows import Row, note

APPS = 50
STATUS = {"the sources": 0.3, "the tree": 0.3, "the one file": 0.9}
"""Seconds that `minipaas status` may take."""
ONE = """\
[app]
name = "app{number}"
version = "1.0.0"

[services.web]
build = "."
port = 8080
routes = ["app{number}.local"]
health = {{ http = "/", interval = "10s", timeout = "3s", grace = "60s" }}

[rollout]
confirm = "1s"
"""
READY = 1.5
"""Seconds until `serve` answers for 50 apps."""


def bench_start(runs: int) -> list[Row]:
    """`version`, `status`, an empty `serve`, and one with 50 apps on the tests' fake Podman and on the real one."""
    rows: list[Row] = []
    with PrivatePodman() as podman, _fifty() as (data, socket):
        real = _fifty_real(podman)
        for name, program in _forms(podman).items():
            version, status, ready, fifty, fifty_real = [], [], [], [], []
            for number in range(runs):
                note(f"{name}, run {number + 1} of {runs}")
                box = Box(podman.directory / f"{name.replace(' ', '-')}-{number}", program)
                began = time.monotonic()
                box.start()
                ready.append(time.monotonic() - began)
                with contextlib.ExitStack() as stack:
                    stack.callback(box.stop)
                    version.append(_timed(program, "version"))
                    status.append(_timed(program, "status", "--to", box.url))
                fifty.append(_until_fifty_answer(program, podman.directory / "fifty", data, socket))
                fifty_real.append(_until_fifty_answer(program, podman.directory / "fifty", real, podman.url))
            rows += [
                Row(f"minipaas version, {name}", version, "s"),
                Row(f"minipaas status, {name}", status, "s", STATUS[name]),
                Row(f"serve until page and ingress answer, {name}", ready, "s"),
                Row(f"serve until the last of {APPS} apps answers, {name}", fifty, "s", READY, "fake Podman"),
                Row("  on real Podman", fifty_real, "s", READY),
            ]
    return rows


def _forms(podman: PrivatePodman) -> dict[str, Program]:
    forms = {"the sources": Program(podman)}
    for name, path in (("the tree", REPO / "dist/program/minipaas"), ("the one file", REPO / "dist/minipaas")):
        if not path.exists():
            raise BoxError(f"there is no {path.relative_to(REPO)}; make it: scripts/build")
        forms[name] = Program(podman, (str(path),))
    return forms


def _timed(program: Program, *args: str) -> float:
    began = time.monotonic()
    program.run(*args)
    return time.monotonic() - began


@contextlib.contextmanager
def _fifty() -> Iterator[tuple[Path, str]]:
    """The data directory of a box with 50 running apps, and the socket of their Podman."""
    with tempfile.TemporaryDirectory(prefix="minipaas-fifty-") as name, fake_process(Path(name)) as image:
        note(f"bringing up {APPS} apps")
        asyncio.run(_bring_up(Path(name), image))
        yield Path(name), f"unix://{name}/podman.sock"


async def _bring_up(data: Path, image: str) -> None:
    async with running(data, image, APPS, 1):
        pass


def _fifty_real(podman: PrivatePodman) -> Path:
    """The data directory of a box with 50 apps that run on real Podman."""
    program = Program(podman)
    author = Author(podman.directory / "author", program)
    author.make_keys()
    source = podman.directory / "one-of-many"
    shutil.copytree(prepare("hello", podman), source, symlinks=True)
    with Box(podman.directory / "fifty-real", program) as box:
        box.cli("trust", "add", author.root)
        for number in range(APPS):
            note(f"deploying app {number + 1} of {APPS} on real Podman")
            (source / "app.toml").write_text(ONE.format(number=number))
            box.cli("deploy", author.build(source, "one-of-many"))
        return box.data


def _until_fifty_answer(program: Program, directory: Path, data: Path, socket: str) -> float:
    box = Box(directory, program)
    box.data = data
    box.config.write_text(box.config.read_text().replace(program.podman.url, socket))
    began = time.monotonic()
    box.start(wait=False)
    try:
        for number in range(APPS):
            while not _served(box, f"app{number}.local"):
                if time.monotonic() - began > 60:
                    raise BoxError(f"app{number} does not answer after 60 s:\n{box.tail()}")
                time.sleep(0.005)
        return time.monotonic() - began
    finally:
        box.stop()


def _served(box: Box, host: str) -> bool:
    try:
        return fetch(box.ingress, host=host, timeout=5).status == 200
    except (OSError, http.client.HTTPException):
        return False

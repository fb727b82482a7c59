"""Socket activation: whoever holds the sockets, connections wait in them while `serve` is away, however it went."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from kit.box import free_port

from minipaas.install.layout import Layout
from minipaas.registry import schema
from minipaas.takeover.record import Kind, Record, State, Story
from tests.boxes import toml
from tests.bundle.builders import default_trust, make_bundle
from tests.fakepodman.server import FakePodman
from tests.takeover.programs import install, program
from tests.takeover.steady import SOURCES

IN_TIME = 60.0
LAUNCH = """
import fcntl, os, sys
above = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:4]]
for number, descriptor in enumerate(above, 3):
    os.dup2(descriptor, number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[4], sys.argv[4:])
"""


class Manager:
    """What a service manager does: it holds the sockets, and starts `serve` with them."""

    def __init__(self, directory: Path, podman: str, command: tuple[str, ...] = SOURCES) -> None:
        self.directory = directory
        self.command = command
        self.http = socket.create_server(("127.0.0.1", 0))
        self.api = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(directory / "here.sock"))
        self.unix.listen()
        self.config = directory / "config.toml"
        self.config.write_text(f'[podman]\nsocket = "unix://{podman}"\n[limits]\nreserve = "1KiB"\n')
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> asyncio.subprocess.Process:
        """As sd_listen_fds(3) has it: descriptors from 3 on, and the pid of whoever they are for."""
        sockets = [sock.fileno() for sock in (self.http, self.api, self.unix)]
        command = [*self.command, "serve", "--config", str(self.config)]
        with (self.directory / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", LAUNCH, *map(str, sockets)),
                *(*command, "--data", str(self.directory / "data")),
                env={**os.environ, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:api:unix"},
                stderr=log,
                pass_fds=sockets,
            )
        return self.process

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        for sock in (self.http, self.api, self.unix):
            sock.close()


@contextlib.asynccontextmanager
async def managed(tmp_path: Path, command: tuple[str, ...] = SOURCES) -> AsyncIterator[Manager]:
    with FakePodman(tmp_path) as fake:
        manager = Manager(tmp_path, str(fake.socket), command)
        try:
            yield manager
        finally:
            await manager.close()


async def ask(session: aiohttp.ClientSession, place: socket.socket, path: str) -> int:
    host, port = place.getsockname()[:2]
    async with asyncio.timeout(IN_TIME), session.get(f"http://{host}:{port}{path}") as answer:
        await answer.read()
        return answer.status


async def test_requests_wait_while_serve_is_away(tmp_path: Path) -> None:
    async with managed(tmp_path) as manager, aiohttp.ClientSession() as session:
        early = asyncio.create_task(ask(session, manager.http, "/"), name="early")  # nobody has started serve yet
        first = await manager.start()
        assert await early == 404, "the ingress itself answers: no route"
        assert await ask(session, manager.api, "/healthz") == 200
        local = aiohttp.UnixConnector(str(tmp_path / "here.sock"))
        async with aiohttp.ClientSession("http://box", connector=local) as near, near.get("/api/v1/box") as answer:
            facts = await answer.json()
        assert facts["ingress"] == [f"127.0.0.1:{manager.http.getsockname()[1]}"]

        first.kill()
        await first.wait()
        async with aiohttp.ClientSession() as others:
            waiting = [asyncio.create_task(ask(others, manager.http, "/"), name=f"waits {n}") for n in range(20)]
            waiting += [asyncio.create_task(ask(others, manager.api, "/healthz"), name=f"asks {n}") for n in range(5)]
            await asyncio.sleep(0.2)
            assert not any(one.done() for one in waiting)
            second = await manager.start()
            assert await asyncio.gather(*waiting) == [404] * 20 + [200] * 5
        second.terminate()
        async with asyncio.timeout(IN_TIME):
            assert await second.wait() == 0
        assert (tmp_path / "here.sock").exists(), "what the service manager made is not ours to remove"


async def deploy(manager: Manager) -> None:
    """An app that says what it was asked."""
    path = make_bundle(manager.directory, app_toml=toml(routes='"*"', replicas=2), services=("web",))
    local = aiohttp.UnixConnector(str(manager.directory / "here.sock"))
    async with aiohttp.ClientSession("http://box", connector=local) as near, asyncio.timeout(IN_TIME):
        async with near.post("/api/v1/trust", data=default_trust()[1]):
            pass
        async with near.put("/api/v1/bundles", data=path.read_bytes()) as answer:
            change = (await answer.json())["change"]
        while True:
            async with near.get(f"/api/v1/changes/{change}") as answer:
                state = (await answer.json())["change"]["state"]
            if state == "done":
                return
            assert state in ("rolling", "confirming"), state
            await asyncio.sleep(0.05)


async def right(manager: Manager, mark: str, query: str = "") -> None:
    """One request over a connection of its own; its answer has to be the app's, and to this request. Raises
    aiohttp.ClientError when there is none."""
    host, port = manager.http.getsockname()[:2]
    async with (
        aiohttp.ClientSession() as session,
        asyncio.timeout(IN_TIME),
        session.post(f"http://{host}:{port}/{mark}{query}", data=mark * 1000) as answer,
    ):
        assert answer.status == 200, await answer.text()
        seen = await answer.json()
        assert (seen["path"], seen["body"]) == (f"/{mark}{query}", mark * 1000)


async def test_killed_it_loses_what_it_had_in_hand_and_nothing_else(tmp_path: Path) -> None:
    async with managed(tmp_path) as manager:
        first = await manager.start()
        await deploy(manager)
        host, port = manager.http.getsockname()[:2]
        idle, idle_writer = await asyncio.open_connection(host, port)
        idle_writer.write(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await idle.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        in_hand, hand_writer = await asyncio.open_connection(host, port)
        hand_writer.write(b"GET /hand?sleep=60 HTTP/1.1\r\nHost: a\r\n\r\n")
        await right(manager, "after")  # by now the one before it is with the app

        first.kill()
        await first.wait()
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await in_hand.read()
        assert answer == b"", "cut off, and no wrong answer"
        hand_writer.close()
        with contextlib.suppress(ConnectionError):
            await idle.read(1 << 16)
        assert idle.at_eof()
        idle_writer.close()

        half, half_writer = await asyncio.open_connection(host, port)
        half_writer.write(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Le")
        waiting = [asyncio.create_task(right(manager, f"w{n}"), name=f"waits {n}") for n in range(40)]
        await asyncio.sleep(0.2)
        assert not any(one.done() for one in waiting)
        await manager.start()
        await asyncio.gather(*waiting)
        half_writer.write(b"ngth: 4\r\nConnection: close\r\n\r\nhalf")
        async with asyncio.timeout(IN_TIME):
            answer = await half.read(-1)
        assert answer.startswith(b"HTTP/1.1 200") and b'"path": "/half"' in answer and b'"body": "half"' in answer
        half_writer.close()


async def test_under_load_only_requests_on_their_way_are_lost(tmp_path: Path) -> None:
    clients, kills = 8, 2
    asked = 0
    lost: list[tuple[float, float]] = []
    over = asyncio.Event()

    async def load(manager: Manager, number: int) -> None:
        nonlocal asked
        while not over.is_set():
            began, asked = time.monotonic(), asked + 1
            try:
                await right(manager, f"c{number}-{asked}")
            except aiohttp.ClientError:
                lost.append((began, time.monotonic()))

    async def some_more() -> None:
        until = asked + 100
        while asked < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async with managed(tmp_path) as manager:
        process = await manager.start()
        await deploy(manager)
        killed = []
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(load(manager, number), name=f"client {number}")
            for _ in range(kills):
                await some_more()
                killed.append(time.monotonic())
                process.kill()
                await process.wait()
                process = await manager.start()
            await some_more()
            over.set()
        assert len(lost) <= clients * kills
        assert all(any(began <= kill <= ended for kill in killed) for began, ended in lost), (lost, killed)


async def test_the_version_before_gets_them_when_a_start_goes_back_to_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "opt")
    for version in ("1.0.0", "2.0.0"):
        command = install(layout.home, program(tmp_path, version), version)
    old, new = layout.versions()
    (tmp_path / "data").mkdir()
    Story(tmp_path / "data").begin(
        Record(
            kind=Kind.UPGRADE,
            state=State.TRIAL,
            actor="ann",
            origin="here",
            began=1.0,
            trial=60.0,
            starts=2,
            from_program=old.name,
            to_program=new.name,
            from_schema=schema.VERSION,
        )
    )
    async with managed(tmp_path, command) as manager, aiohttp.ClientSession() as session:
        await manager.start()
        assert await ask(session, manager.http, "/") == 404
        local = aiohttp.UnixConnector(str(tmp_path / "here.sock"))
        async with aiohttp.ClientSession("http://box", connector=local) as near, near.get("/api/v1/self") as answer:
            seen = await answer.json()
        assert (seen["version"], seen["last"]["state"]) == ("1.0.0", "returned")
        assert await ask(session, manager.api, "/healthz") == 200


async def test_as_systemd_does_it(tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.fail("this test needs systemd-socket-activate: apt-get install systemd")
    with FakePodman(tmp_path) as fake:
        port = free_port()
        config = tmp_path / "config.toml"
        config.write_text(f'[api]\nlisten = ["127.0.0.1:0"]\n[podman]\nsocket = "unix://{fake.socket}"\n')
        process = await asyncio.create_subprocess_exec(
            *(program, "-l", f"127.0.0.1:{port}", "--fdname=http", f"--setenv=PATH={os.environ['PATH']}"),
            *(sys.executable, "-m", "minipaas", "serve", "--config", str(config), "--data", str(tmp_path / "data")),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(IN_TIME):
                while True:
                    try:  # the first connection starts serve, and is answered by it
                        async with session.get(f"http://127.0.0.1:{port}/") as answer:
                            assert answer.status == 404
                            assert "No app on this box" in await answer.text()
                            break
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.02)  # systemd-socket-activate itself is not up yet
            process.terminate()
            async with asyncio.timeout(IN_TIME):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

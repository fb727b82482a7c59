"""A box in a process of its own, and clients that ask it without a pause and write down whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
from kit.box import free_port

from tests.boxes import toml
from tests.bundle.builders import default_trust, make_bundle
from tests.fakepodman.server import FakePodman

IN_TIME = 60.0
HOST = "shop.local"
SOURCES = (sys.executable, "-m", "minipaas")


class Served:
    """`minipaas serve` as whoever starts it sees it."""

    def __init__(
        self,
        directory: Path,
        fake: FakePodman,
        *,
        command: tuple[str, ...] = SOURCES,
        more: str = "",
        tls: bool = False,
    ) -> None:
        self.directory = directory
        self.fake = fake
        self.command = command
        self.data = directory / "data"
        self.log = directory / "log"
        self.config = directory / "config.toml"
        self.ingress, self.page, self.secure = free_port(), free_port(), free_port()
        https = f'https = ["127.0.0.1:{self.secure}"]\n' if tls else ""
        self.config.write_text(
            f'[api]\nlisten = ["127.0.0.1:{self.page}"]\n[ingress]\nhttp = ["127.0.0.1:{self.ingress}"]\n{https}'
            f'[podman]\nsocket = "unix://{fake.socket}"\n[limits]\nreserve = "1KiB"\n{more}'
        )
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*self.command, "serve", "--config", str(self.config), "--data", str(self.data)),
                env={**os.environ, **environment},
                stderr=log,
            )
        await self.until(self.answers)

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(IN_TIME):
            return await self.process.wait()

    async def crash(self) -> None:
        """SIGKILL for the process that was started; whatever it has started ends too."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        await self.until(self.unlocked)

    async def unlocked(self) -> bool:
        with (self.data / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    async def answers(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()
        try:
            return bool((await self.api("GET", "/api/v1/self"))[0] == 200)
        except aiohttp.ClientError:
            return False

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON, over the socket."""
        how = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        connector = aiohttp.UnixConnector(str(self.data / "minipaas.sock"))
        async with (
            aiohttp.ClientSession("http://box", connector=connector) as session,
            session.request(method, path, **how) as answer,
        ):
            return answer.status, await answer.json()

    async def myself(self) -> dict[str, Any]:
        return dict((await self.api("GET", "/api/v1/self"))[1])

    async def last(self, *states: str) -> dict[str, Any]:
        """The last hand-over, once it is in one of these states."""

        async def look() -> Any:
            last = (await self.myself())["last"]
            return last if last is not None and last["state"] in states else None

        found: dict[str, Any] = await self.until(look)
        return found

    async def free(self) -> None:
        """Wait until another hand-over could begin."""

        async def look() -> bool:
            return not (await self.myself())["busy"]

        await self.until(look)

    async def until(self, look: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(IN_TIME):
                while not (found := await look()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError:
            raise AssertionError(f"waited in vain for {look}; serve said:\n{self.log.read_text()}") from None

    async def deploy(self, version: str = "1.0", extra: str = "", sequence: int = 1, fake: str = "") -> None:
        """A small routed app, until it serves; `extra`: more of its app.toml; `fake`: how its container behaves."""
        await self.api("POST", "/api/v1/trust", default_trust()[1])
        text = toml(version=version, extra=extra, fake=fake)
        path = make_bundle(
            self.directory,
            version=version,
            app_toml=text,
            services=("web",),
            sequence=sequence,
            name=f"{sequence}.bundle",
        )
        status, accepted = await self.api("PUT", "/api/v1/bundles", path.read_bytes())
        assert status == 202, accepted

        async def done() -> bool:
            return bool(
                (await self.api("GET", f"/api/v1/changes/{accepted['change']}"))[1]["change"]["state"] == "done"
            )

        await self.until(done)

    async def audit(self) -> list[str]:
        """`action: result`, the newest first."""
        rows = (await self.api("GET", "/api/v1/audit"))[1]["rows"]
        return [f"{row['action']}: {row['result']}" for row in rows]


@contextlib.asynccontextmanager
async def served(directory: Path, **options: Any) -> AsyncIterator[Served]:
    """One that runs, and all its processes gone at the end."""
    with FakePodman(directory) as fake:
        one = Served(directory, fake, **options)
        try:
            await one.start()
            yield one
        finally:
            if one.process is not None and one.process.returncode is None:
                await one.stop()


class Steady:
    """`async with Steady(port) as load`: some clients, each with its connection, ask as fast as they are answered; with
    `tls`, over that and in two of them with a new connection for each request."""

    def __init__(self, port: int, clients: int = 4, tls: ssl.SSLContext | None = None) -> None:
        self.count = 0
        self.failures: list[str] = []
        self._port = port
        self._clients = clients
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Steady:
        self._tasks = [asyncio.create_task(self._ask(n), name=f"client {n}") for n in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def goes_on(self) -> None:
        """Until some more have been answered."""
        wanted = self.count + 10
        async with asyncio.timeout(IN_TIME):
            while self.count < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _ask(self, number: int) -> None:
        once = self._tls is not None and number < 2
        name = HOST if self._tls is not None else None
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._port, ssl=self._tls, server_hostname=name
                )
            except OSError as error:
                self.failures.append(f"connect: {error!r}")
                await asyncio.sleep(0.05)
                continue
            try:
                while await self._one(reader, writer) and not once:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(repr(error))
            finally:
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its whole answer; whether the connection is kept."""
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        self.count += 1
        if " 200 " not in head.partition("\r\n")[0]:
            self.failures.append(head)
        return "connection: close" not in head

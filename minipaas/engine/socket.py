"""Where Podman answers: a socket that exists, or a `podman system service` of our own.

The order: config.toml, CONTAINER_HOST, the system's socket (root), the user's socket, a service of our own. What the
operator named is used or is an error: falling through to another Podman would run containers where nobody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from minipaas.engine import limits
from minipaas.engine.causes import shorten
from minipaas.model.errors import EngineDown, Invalid
from minipaas.process import ending_with_us
from minipaas.session import runtime_directory

log = logging.getLogger(__name__)

SYSTEM_SOCKET = Path("/run/podman/podman.sock")
_SERVICE_MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What systemd tells minipaas alone: Podman's service, given these, calls itself the main process (sd_notify(3))."""


def find_socket(configured: str = "", *, environ: Mapping[str, str] | None = None) -> str | None:
    """The path of the socket to use; None: start one of our own. Raises Invalid for a name that is no Unix socket."""
    environ = os.environ if environ is None else environ
    for source, value in (("podman.socket", configured), ("CONTAINER_HOST", environ.get("CONTAINER_HOST", ""))):
        if value:
            return _path_of(source, value)
    if os.geteuid() == 0 and SYSTEM_SOCKET.is_socket():
        return str(SYSTEM_SOCKET)
    runtime = runtime_directory(environ)
    if runtime is not None and os.geteuid() != 0:
        user = runtime / "podman" / "podman.sock"
        if user.is_socket():
            return str(user)
    return None


def _path_of(source: str, value: str) -> str:
    if value.startswith("/"):
        return value
    if value.startswith("unix:///"):
        return value.removeprefix("unix://")
    hint = "write unix:///path; minipaas manages the Podman of its own host only"
    raise Invalid(f"cannot use {source}: {value!r} is not a Unix socket", hint=hint, code="engine.socket")


class OwnService:
    """A `podman system service` held as a child: started again when it dies, ended with us. Containers outlive it,
    because each is held by its own conmon."""

    def __init__(self, data: Path, on_restart: Callable[[], None] | None = None, *, tied: bool = False) -> None:
        """`tied`: it is killed when this process ends, however that ends."""
        self._tie = ending_with_us() if tied else None
        self.socket = str(data / "podman.sock")
        self._pidfile = data / "podman.pid"
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None
        self._errors: deque[bytes] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> str:
        """Start it and wait until it answers; gives the socket's path. Raises EngineDown with the child's own words."""
        if len(self.socket.encode()) > limits.MAX_SOCKET_PATH:
            hint = "choose a shorter --data directory"
            raise EngineDown(f"cannot start Podman: the socket path {self.socket} is too long", hint=hint)
        if shutil.which("podman") is None:
            hint = "install it: apt install podman"
            raise EngineDown("cannot start Podman: there is no podman on PATH", hint=hint, code="engine.no_podman")
        await self._end_orphan()
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name="podman-service")
        return self.socket

    async def stop(self) -> None:
        """End the child; containers go on."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        await self._end()

    def last_words(self) -> str:
        """What the service wrote to its standard error last."""
        return shorten(b"".join(self._errors).decode(errors="replace"))

    async def _launch(self) -> None:
        Path(self.socket).unlink(missing_ok=True)  # noqa: ASYNC240
        self._errors.clear()
        self._process = await asyncio.create_subprocess_exec(
            "podman",
            "system",
            "service",
            "--time=0",
            f"unix://{self.socket}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for minipaas alone
            preexec_fn=self._tie,
            env={name: value for name, value in os.environ.items() if name not in _SERVICE_MANAGER},
        )
        self._pidfile.write_text(f"{self._process.pid}\n")
        drain = asyncio.create_task(self._drain(self._process), name="podman-service-stderr")
        try:
            async with asyncio.timeout(limits.CONNECT):
                while not await _answers(self.socket):
                    if self._process.returncode is not None:
                        await drain
                        words = self.last_words() or f"it ended with status {self._process.returncode}"
                        raise EngineDown(f"cannot start Podman: {words}", hint="run `podman info` to see why")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self._end()
            words = self.last_words() or "it does not answer"
            raise EngineDown(f"cannot start Podman: {words}", hint="run `podman info` to see why") from None
        except BaseException:
            await self._end()
            raise
        self._draining = drain

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        stderr = process.stderr
        while stderr is not None and (chunk := await stderr.read(4096)):
            self._errors.append(chunk)
            while sum(map(len, self._errors)) > limits.SERVICE_STDERR:
                self._errors.popleft()

    async def _keep(self) -> None:
        failures = 0
        while True:
            process = self._process
            if process is not None:
                await process.wait()
                log.warning("Podman's service ended with status %s: %s", process.returncode, self.last_words())
            await asyncio.sleep(limits.SERVICE_BACKOFF[min(failures, len(limits.SERVICE_BACKOFF) - 1)])
            try:
                await self._launch()
            except (EngineDown, OSError) as error:
                failures += 1
                self._process = None
                log.error("%s", error)
                continue
            failures = 0
            if self._on_restart is not None:
                self._on_restart()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(limits.SERVICE_STOP):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._process = None
        self._pidfile.unlink(missing_ok=True)
        Path(self.socket).unlink(missing_ok=True)  # noqa: ASYNC240

    async def _end_orphan(self) -> None:
        """End the service that a killed minipaas left behind, if it is still the one that we wrote down."""
        try:
            pid = int(self._pidfile.read_text())
        except (OSError, ValueError):
            return
        if f"unix://{self.socket}" not in _command_line(pid):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(int(limits.SERVICE_STOP / 0.05)):
                await asyncio.sleep(0.05)
                if f"unix://{self.socket}" not in _command_line(pid):
                    return
            os.kill(pid, signal.SIGKILL)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


async def _answers(socket: str) -> bool:
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(b"GET /_ping HTTP/1.0\r\nHost: podman\r\n\r\n")
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False

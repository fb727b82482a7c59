"""What a fake container does once it runs: it listens for real on its published port and answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from aiohttp import WSMsgType, web


@dataclass(frozen=True)
class Behaviour:
    """Defaults: listens at once, answers 200 to everything, ends at the first polite signal."""

    status: int = 200
    """Of every answer; a path in `statuses` has its own."""
    statuses: Mapping[str, int] | None = None
    start_delay: float = 0.0
    """Seconds until it listens; connections are refused before."""
    refuses: bool = False
    """Never listens."""
    hangs: bool = False
    """Takes connections and never answers."""
    closes: bool = False
    """Takes connections and closes them at once, as a port forwarder without a service behind it does."""
    elsewhere: int = 0
    """Another program answers for it, at this port of 127.0.0.1, and the container is said to have published it."""
    hides_log: bool = False
    """Its log is told to be at a place where only Podman can see it."""
    banner: bytes = b""
    """Speaks first, and no HTTP: a TCP service."""
    exit_code: int | None = None
    """Ends by itself with this code, `lifetime` seconds after its start."""
    lifetime: float = 0.0
    oom: bool = False
    """That end is the kernel's, for memory."""
    fails_to_start: str = ""
    """Podman's message when it is started: the container stays `created`."""
    ignores_term: bool = False
    """Only SIGKILL ends it."""
    stop_delay: float = 0.0
    term_code: int = 143
    output: tuple[str, ...] = ("started",)
    """Lines on stdout after the start; a line that begins with `!` goes to stderr."""
    exec_code: int = 0
    exec_output: str = ""
    exec_delay: float = 0.0
    lacks: tuple[str, ...] = ()
    """Commands that are not in its image; others are those of this machine."""

    @classmethod
    def from_env(cls, text: str, base: Behaviour) -> Behaviour:
        """`status=503 start_delay=0.2`, the content of a container's FAKE variable, over `base`."""
        kinds = {field.name: field.type for field in fields(cls)}
        values: dict[str, object] = {}
        for word in text.split():
            key, _, value = word.partition("=")
            kind = str(kinds[key])
            if kind.startswith("int"):
                values[key] = int(value)
            elif kind == "float":
                values[key] = float(value)
            else:
                values[key] = value in ("1", "true") if kind == "bool" else value
        return replace(base, **values)  # type: ignore[arg-type]


def hold_port(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen: the port is ours, connections are refused. Raises OSError."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held


class Listener:
    """What answers on a container's published port."""

    def __init__(self, behaviour: Behaviour, who: Mapping[str, str]) -> None:
        self.behaviour = behaviour
        self._who = dict(who)
        self._runner: web.ServerRunner | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.requests = 0

    async def open(self, held: socket.socket) -> None:
        """Listen on this bound socket (a duplicate; the caller keeps it)."""
        sock = held.dup()
        try:
            await self._serve(sock)
        except BaseException:
            sock.close()
            raise

    async def _serve(self, sock: socket.socket) -> None:
        if self.behaviour.closes or self.behaviour.banner or self.behaviour.hangs:
            self._server = await asyncio.start_server(self._raw, sock=sock)
            return
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.01)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Stop listening and drop all connections, as a dead process does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            for connection in list(runner.server.connections if runner.server else ()):
                connection.force_close()
            await runner.cleanup()

    async def _raw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            if not self.behaviour.closes:
                writer.write(self.behaviour.banner)
                await reader.read()
            writer.close()
        self._writers.discard(writer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._echo(request)
        wait = float(request.query.get("sleep", "0"))
        if wait:
            await asyncio.sleep(wait)
        status = (self.behaviour.statuses or {}).get(request.path, self.behaviour.status)
        body = {
            **self._who,
            "method": request.method,
            "path": request.path_qs,
            "host": request.host,
            "headers": {key.lower(): value for key, value in request.headers.items()},
            "body": (await request.read()).decode(errors="replace"),
        }
        return web.json_response(body, status=status, headers={"X-Instance": self._who["name"]})

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type is WSMsgType.TEXT:
                await answer.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await answer.send_bytes(message.data)
        return answer

"""A command in a running container, with its streams: what `exec` and `shell` are made of.

What always holds: whoever opens one ends it (`async with Attached.open`), and with it every process of its session,
also when it does not listen to a hang-up: a command must not outlive the access that it was started with. A process
that has made a session of its own is left alone.

Source: Podman API, `containers/NAME/exec`, `exec/ID/start`, `resize` and `json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from minipaas.engine import limits
from minipaas.engine.calls import decode
from minipaas.engine.causes import explain
from minipaas.engine.hijack import Hijacked, hijack
from minipaas.engine.logs import HEADER
from minipaas.engine.processes import session_of, signal_session
from minipaas.engine.shapes import Created, Exec
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError

OUT, ERR = 1, 2
_NOT_STARTED = re.compile(rb"\AError: .{0,4000}(OCI |exec failed|runc: |crun: )", re.DOTALL)
"""How Podman begins to say, in place of the command's own output, that there is none."""
_COULD_NOT = frozenset({125, 126, 127})


class Size(Struct, frozen=True):
    """Of a terminal, in characters."""

    columns: int
    rows: int


class Command(Struct, frozen=True, kw_only=True):
    """What to run. With a terminal (`size`) both outputs are one."""

    argv: tuple[str, ...]
    size: Size | None = None
    """None: no terminal."""
    stdin: bool = True
    user: str = ""
    """As in the image, when empty."""
    workdir: str = ""
    env: tuple[str, ...] = ()
    """NAME=value."""


class Attached:
    """A started command."""

    def __init__(self, streams: Streams, session: str, command: Command, stream: Hijacked) -> None:
        self._streams = streams
        self._session = session
        self._command = command
        self._stream = stream

    @classmethod
    @asynccontextmanager
    async def open(cls, streams: Streams, container: str, name: str, command: Command) -> AsyncIterator[Attached]:
        """Start it; at the end of the block it is ended, if it has not. Raises EngineError (`engine.no_command`,
        `engine.missing`, `engine.not_running`)."""
        what = f"run {command.argv[0][:100]} in {name}"
        wanted = {
            "Cmd": list(command.argv),
            "AttachStdin": command.stdin,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": command.size is not None,
            "DetachKeys": "",  # else Ctrl-P is Podman's, and no shell's
            "Env": list(command.env),
            "User": command.user,
            "WorkingDir": command.workdir,
        }
        body = await streams.read(what, "POST", f"containers/{container}/exec", json=wanted)
        session = decode(what, body, Created).id
        start: dict[str, object] = {"Detach": False, "Tty": command.size is not None}
        if command.size is not None:
            start |= {"h": command.size.rows, "w": command.size.columns}
        stream = await hijack(streams.socket, what, f"exec/{session}/start", start)
        attached = cls(streams, session, command, stream)
        try:
            yield attached
        finally:
            stream.close()
            await asyncio.shield(attached._end())

    async def write(self, data: bytes) -> None:
        """To its standard input. Raises ConnectionError when it takes no more."""
        await self._stream.write(data)

    def end_input(self) -> None:
        """The end of its standard input; on a terminal that is typed (Ctrl-D)."""
        self._stream.end()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(`OUT` or `ERR`, bytes) until it closes both. Raises EngineError `engine.no_command` when there is no such
        command, `engine.cannot_run` when it could not be started for another reason: Podman says so in its output."""
        pieces = self._pieces()
        held: list[tuple[int, bytes]] = []
        async for piece in pieces:
            held.append(piece)
            if _NOT_STARTED.match(piece[1]) and await self._complains(pieces, held):
                raise self._not_started(held[0][1])
            break
        for piece in held:
            yield piece
        async for piece in pieces:
            yield piece

    async def _complains(self, pieces: AsyncIterator[tuple[int, bytes]], held: list[tuple[int, bytes]]) -> bool:
        """Whether what seems to be a complaint of Podman's is one: then the end comes at once, with a code for that.
        Whatever comes is kept in `held`."""
        code = await self.exit_code()
        if code in _COULD_NOT:
            return True
        if code is not None:
            held += [piece async for piece in pieces]
        return False

    def _not_started(self, said: bytes) -> EngineError:
        text = said.decode(errors="replace").removeprefix("Error: ").partition("\n")[0].strip()
        error = explain(f"run {self._command.argv[0][:100]}", text)
        if error.code == "engine.no_command":
            return EngineError(error.message, hint="without a shell of its own: --toolbox", code="engine.no_command")
        return EngineError(error.message, code="engine.cannot_run")

    async def _pieces(self) -> AsyncIterator[tuple[int, bytes]]:
        reader = self._stream.reader
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self._command.size is not None:
                while data := await reader.read(limits.PIECE):
                    yield OUT, data
                return
            while header := await reader.read(1):
                header += await reader.readexactly(HEADER - 1)
                left = int.from_bytes(header[4:HEADER])
                while left:
                    data = await reader.read(min(left, limits.PIECE))
                    if not data:
                        return
                    left -= len(data)
                    yield ERR if header[0] == ERR else OUT, data

    async def resize(self, size: Size) -> None:
        """Tell its terminal. One that has ended meanwhile is no error."""
        params = {"h": size.rows, "w": size.columns}
        with contextlib.suppress(EngineError):
            await self._streams.read(
                "resize the terminal", "POST", f"exec/{self._session}/resize", params=params, timeout=limits.RESIZE
            )

    async def exit_code(self) -> int | None:
        """After the end of its output; None when nobody can tell, because the container is gone with it."""
        state = await self._settled(limits.EXEC_ENDS)
        return None if state is None or state.running else state.exit_code

    async def _settled(self, patience: float) -> Exec | None:
        """Its state once it has ended, or after `patience` seconds; None: Podman does not know it any more."""
        until = asyncio.get_running_loop().time() + patience
        while True:
            try:
                state = await self._state()
            except EngineError:
                return None
            if not state.running or asyncio.get_running_loop().time() > until:
                return state
            await asyncio.sleep(limits.EXEC_LOOK)

    async def _state(self) -> Exec:
        what = "look at the command"
        return decode(what, await self._streams.read(what, "GET", f"exec/{self._session}/json"), Exec)

    async def _end(self) -> None:
        """Hang up, and kill what does not go."""
        for number in (signal.SIGHUP, signal.SIGKILL):
            state = await self._settled(0)
            if state is None or not state.running or state.pid <= 0:
                return
            members = await asyncio.to_thread(session_of, state.pid)
            await asyncio.to_thread(signal_session, members, number)
            await self._settled(limits.HANG_UP)

"""One command in a running container: create, start, read, ask how it ended (Podman API, `exec`)."""

from __future__ import annotations

import asyncio

from minipaas.engine import limits
from minipaas.engine.calls import decode
from minipaas.engine.logs import tail, text_lines
from minipaas.engine.probe import ProbeResult
from minipaas.engine.shapes import Created, Exec
from minipaas.engine.streams import Streams
from minipaas.model.errors import Deadline, EngineError


class Executor:
    """Runs probe commands; at most `limits.EXECS_AT_ONCE` at once, because each starts a process in a container."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._turn = asyncio.Semaphore(limits.EXECS_AT_ONCE)
        self._overdue: dict[str, str] = {}

    def forget(self, container: str) -> None:
        """This container has ended, and its commands with it."""
        self._overdue.pop(container, None)

    async def probe(self, container: str, command: tuple[str, ...], timeout: float) -> ProbeResult:  # noqa: ASYNC109
        """Good when it exits with 0 within `timeout` seconds. Raises EngineError when Podman can't run it."""
        shown = " ".join(command)
        async with self._turn:
            try:
                async with asyncio.timeout(timeout):
                    if await self._still_running(container):
                        return ProbeResult(False, f"{shown}: the one before is still not done")
                    code, output = await self._run(container, command, timeout)
            except (TimeoutError, Deadline):
                return ProbeResult(False, f"{shown}: not done within {timeout:g} s")
        last = tail(text_lines(output), 1, 200)
        return ProbeResult(code == 0, f"{shown}: exit code {code}" + (f": {last}" if last and code else ""))

    async def _still_running(self, container: str) -> bool:
        """Podman can't end an exec session; a command that hangs must not pile up."""
        session = self._overdue.get(container)
        if session is None:
            return False
        try:
            running = (await self._state(session)).running
        except EngineError as error:
            running = error.code != "engine.missing"
        if not running:
            self.forget(container)
        return running

    async def _state(self, session: str) -> Exec:
        what = "look at the health check"
        return decode(what, await self._streams.read(what, "GET", f"exec/{session}/json"), Exec)

    async def _run(self, container: str, command: tuple[str, ...], timeout: float) -> tuple[int, bytes]:  # noqa: ASYNC109
        what = "run the health check"
        wanted = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        body = await self._streams.read(what, "POST", f"containers/{container}/exec", json=wanted, timeout=timeout)
        session = decode(what, body, Created).id
        self._overdue[container] = session  # until it is known to have ended
        start = {"Detach": False, "Tty": False}
        output = await self._streams.read(
            what, "POST", f"exec/{session}/start", json=start, timeout=timeout, most=limits.HOOK_TAIL_BYTES
        )
        while (state := await self._state(session)).running:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.forget(container)
        return state.exit_code, output

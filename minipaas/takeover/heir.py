"""The process that is to take the box over: started, listened to, and ended by its id when it is no longer wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from minipaas.model.errors import MinipaasError
from minipaas.process import ending_with_us
from minipaas.takeover import gifts, limits
from minipaas.takeover.channel import Channel, Failed, Message
from minipaas.takeover.gifts import Taker
from minipaas.takeover.inheritance import Bequest, Role
from minipaas.takeover.listeners import Listeners

_NOT_WHY = ("INFO ", "→ ")
"""Lines of a log that do not say what is wrong: the everyday, and what to do about it."""


class Heir:
    """A child of ours. What it writes to its standard error goes to ours, and the last lines are kept."""

    def __init__(
        self, process: subprocess.Popen[bytes], channel: Channel, errors: asyncio.StreamReader, gifts: Taker
    ) -> None:
        self.process = process
        self._gifts = gifts
        self.channel = channel
        self.last_lines: deque[str] = deque(maxlen=limits.LAST_LINES)
        self.failure: Failed | None = None
        """What it said was wrong."""
        self._reading = asyncio.create_task(self._pass_on(errors), name="heir: stderr")

    @classmethod
    async def start(cls, command: Sequence[str], lock: int, listeners: Listeners) -> Heir:
        """Start a program that finds what it needs; ports that it opens are held in `listeners` too. Raises
        MinipaasError when it cannot even be started."""
        ours, theirs = socket.socketpair()
        taking, giving = gifts.pair()
        errors = os.dup(2)  # under a number of its own: the child's own 2 is a pipe to us
        try:
            bequest = Bequest(Role.HEIR, theirs.fileno(), lock, listeners.held, errors=errors, gifts=giving.fileno())
            # Not asyncio's: that one would kill the child when this process becomes another program.
            process = subprocess.Popen(  # noqa: ASYNC220
                command,
                env=bequest.environment(os.environ, manager=False),
                pass_fds=bequest.descriptors,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # until it serves, and hears what becomes of us, it must not outlive us: it has the lock
                preexec_fn=ending_with_us(),  # noqa: PLW1509 - one system call
            )
        except OSError as error:
            ours.close()
            taking.close()
            raise MinipaasError(
                f"cannot start {command[0]}: {error.strerror or error}",
                hint="look whether that program is whole: run it by hand",
                code="self.start",
            ) from None
        finally:
            theirs.close()
            giving.close()
            os.close(errors)
        reader = asyncio.StreamReader()
        pipe = process.stderr
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return cls(process, await Channel.over(ours), reader, gifts.Taker(taking, listeners))

    async def message(self) -> Message | None:
        """The next thing it says; None when it has ended."""
        message = await self.channel.receive()
        if isinstance(message, Failed):
            self.failure = message
        return message

    async def expect(self, kind: type[Message], within: float) -> Message:
        """Wait for one message; others are passed over. Raises MinipaasError that says why it does not come."""
        try:
            async with asyncio.timeout(within):
                while True:
                    message = await self.message()
                    if isinstance(message, kind):
                        return message
                    if message is None or isinstance(message, Failed):
                        break
        except TimeoutError:
            raise MinipaasError(f"it was not ready within {within:g} s", code="self.late") from None
        await self._gather_words()
        raise MinipaasError(self.why, code="self.failed")

    @property
    def why(self) -> str:
        """Why it is of no use, in a sentence: its own words if it had any."""
        if self.failure is not None and self.failure.message:
            hint = f" ({self.failure.hint})" if self.failure.hint else ""
            return f"{self.failure.message}{hint}"
        status = self.process.returncode
        ended = f"it was killed by signal {-status}" if status and status < 0 else f"it ended with status {status}"
        telling = (line for line in reversed(self.last_lines) if line.strip() and not line.startswith(_NOT_WHY))
        said = next(telling, "")
        return f"{ended}: {said}" if said else ended

    async def wait(self) -> int:
        """Its exit status; negative: the signal that killed it."""
        while (status := self.process.poll()) is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(limits.GLANCE)
        return status

    async def end(self) -> None:
        """SIGTERM, and SIGKILL when that does not do; by its id."""
        self.process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.STOP):
                await self.wait()
        await self.kill()

    async def kill(self) -> None:
        """At once."""
        self.process.kill()
        await self.wait()
        await self._gather_words()
        self._gifts.close()
        self.channel.close()

    def forget(self) -> None:
        """Let it live on without us."""
        self._gifts.close()
        self._reading.cancel()

    async def _gather_words(self) -> None:
        """Its end and its last words, if they come at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.BEAT):
                await self.wait()
                await asyncio.shield(self._reading)

    async def _pass_on(self, errors: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await errors.readline()
            except ValueError:  # longer than the reader's limit: what is behind it still comes
                continue
            if not line:
                return
            self.last_lines.append(line.decode(errors="replace").rstrip("\n")[: limits.LINE])
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()

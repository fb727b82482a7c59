"""What runs in a fake container when somebody attaches to it: a real process of this machine, on real pipes or a real
terminal, in the container's directory. It dies with the container."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import shutil
import struct
import termios

from aiohttp import web

from tests.fakepodman.state import Container, ExecSession

HEAD = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
NO_COMMAND = (
    'Error: runc: exec failed: unable to start container process: exec: "{0}": executable file not found in $PATH: '
    "OCI runtime attempted to invoke a command that was not found\n"
)


def frame(stream: int, payload: bytes) -> bytes:
    """The eight-byte header and the payload."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


async def attach(session: ExecSession, container: Container, request: web.Request, size: tuple[int, int]) -> None:
    """Take the connection of this request over, and run the session on it to its end."""
    transport = request.transport
    assert transport is not None
    reader = asyncio.StreamReader()
    transport.set_protocol(asyncio.StreamReaderProtocol(reader))  # what comes now is no HTTP
    transport.write(HEAD)
    try:
        await _run(session, container, reader, transport, size)
    finally:
        transport.close()


async def _run(
    session: ExecSession,
    container: Container,
    reader: asyncio.StreamReader,
    transport: asyncio.Transport,
    size: tuple[int, int],
) -> None:
    session.running = True
    if session.command[0] in container.behaviour.lacks:
        said = NO_COMMAND.format(session.command[0]).encode()
        transport.write(said if session.tty else frame(2, said))
        session.running, session.exit_code = False, 127
        return
    process = await (_on_terminal(session, container, size) if session.tty else _on_pipes(session, container))
    session.pid, session.process = process.pid, process
    incoming = asyncio.create_task(_input(session, process, reader), name="fake exec input")
    try:
        if session.tty:
            await _copy(session, transport)
        else:
            assert process.stdout is not None and process.stderr is not None
            await asyncio.gather(_frames(process.stdout, 1, transport), _frames(process.stderr, 2, transport))
        code = await process.wait()
        session.exit_code = code if code >= 0 else 128 - code
    finally:
        incoming.cancel()
        session.running = False
        session.kill()
        session.close()
        process._transport.close()  # type: ignore[attr-defined]


def _argv(command: list[str]) -> list[str]:
    """What this machine does not have by itself is busybox's."""
    return command if shutil.which(command[0]) else ["busybox", *command]


async def _on_pipes(session: ExecSession, container: Container) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *_argv(session.command),
        cwd=container.root,
        env={**os.environ, **session.env},
        stdin=asyncio.subprocess.PIPE if session.stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def _on_terminal(session: ExecSession, container: Container, size: tuple[int, int]) -> asyncio.subprocess.Process:
    master, slave = pty.openpty()
    session.master = master
    os.set_blocking(master, False)
    resize(session, *size)
    try:
        return await asyncio.create_subprocess_exec(
            *_argv(session.command),
            cwd=container.root,
            env={**os.environ, **session.env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    finally:
        os.close(slave)


def resize(session: ExecSession, columns: int, rows: int) -> None:
    """The terminal of a session gets another size; its processes hear of it."""
    session.size = (columns, rows)
    if session.master is not None:
        fcntl.ioctl(session.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def _input(session: ExecSession, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
    """A hang-up of the client is the end of standard input, and no more than that."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if session.master is not None:
                while data:
                    with contextlib.suppress(BlockingIOError):
                        data = data[os.write(session.master, data) :]
                        continue
                    await asyncio.sleep(0.01)
            elif process.stdin is not None:
                process.stdin.write(data)
                await process.stdin.drain()
        if process.stdin is not None:
            process.stdin.close()


async def _copy(session: ExecSession, transport: asyncio.Transport) -> None:
    """What the terminal shows."""
    loop = asyncio.get_running_loop()
    master = session.master
    assert master is not None
    readable = asyncio.Event()
    loop.add_reader(master, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            try:
                data = os.read(master, 65536)
            except BlockingIOError:
                continue
            except OSError:  # EIO: nobody has it open any more
                return
            if not data:
                return
            transport.write(data)
    finally:
        loop.remove_reader(master)


async def _frames(stream: asyncio.StreamReader, number: int, transport: asyncio.Transport) -> None:
    while data := await stream.read(65536):
        transport.write(frame(number, data))
        while transport.get_write_buffer_size() > 1024 * 1024 and not transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

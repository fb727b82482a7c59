"""A command or shell in an instance, over a WebSocket.

What always holds: whatever ends first (the command, the client, the lease) ends the others; the client's last message
says which it was; whoever loses the right to it (a token revoked, a browser signed out) is put out at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from math import inf

from aiohttp import web
from msgspec import structs

from minipaas.engine.attach import Attached, Command, Size
from minipaas.forensics.access import SHELL, Visitor
from minipaas.forensics.leases import OpenLease
from minipaas.forensics.limits import WARNING
from minipaas.model.errors import EngineError, Forbidden, Invalid
from minipaas.model.lease import Ending
from minipaas.model.observed import Instance
from minipaas.race import race
from minipaas.surface import problems
from minipaas.surface.access import Access, Policy, identify, require
from minipaas.surface.call import Call
from minipaas.surface.handlers.leases import lease_view
from minipaas.surface.inbox import Inbox
from minipaas.surface.websocket import Socket, understood
from minipaas.surface.wire_access import WINDOW, Ended, Enter, Leave, Notice, Opened, Resize, RunCommand, Said, Taken

IN = 0
NOT_STARTED = {"engine.no_command": 127, "engine.cannot_run": 126}
"""Exit codes for a command that there is not, or that cannot be run (POSIX, 2.8.2)."""
KILLED = 137
TOOLBOX = "tools beside the instance: its processes and network are here, its files in /instance"


async def run(call: Call) -> web.WebSocketResponse:
    """One command from its beginning to its end."""
    async with Socket.open(call, ends_itself=True) as socket:
        wanted = await socket.begin(RunCommand, call.context.limits.socket_begin)
        access = call.control.access
        instance = access.instance(call.app, wanted.service, wanted.slot)
        command = _command(wanted)
        async with access.command(instance, command, visitor(call, wanted)) as lease:
            ended = await _conduct(call, socket, instance, command, lease, wanted)
        await socket.send(ended)
    return socket.response


async def reopen(call: Call) -> web.WebSocketResponse:
    """One command in a container made from a scene."""
    async with Socket.open(call, ends_itself=True) as socket:
        wanted = await socket.begin(RunCommand, call.context.limits.socket_begin)
        command = _command(wanted)
        name = call.request.match_info["crash"]
        program = command.argv[0] if command.argv is not SHELL else ""
        async with call.control.reopening.open(name, program, visitor(call, wanted)) as (instance, lease):
            if lease.recording is not None:
                size = command.size
                lease.recording.begin(size.columns if size else 80, size.rows if size else 24, command.argv[0])
            ended = await _conduct(call, socket, instance, command, lease, wanted)
        await socket.send(ended)
    return socket.response


async def _conduct(
    call: Call, socket: Socket, instance: Instance, command: Command, lease: OpenLease, wanted: RunCommand
) -> Ended:
    """Run it on a lease that is open. Returns how it ended."""
    await socket.send(Opened(lease=lease_view(lease.lease)))
    try:
        return await _run(call, socket, instance, command, lease, wanted)
    except EngineError as error:
        lease.end(Ending.FAILED, error.message)
        return Ended(ending=Ending.FAILED, code=NOT_STARTED.get(error.code), error=problems.problem(error).error)


async def _run(
    call: Call, socket: Socket, instance: Instance, command: Command, lease: OpenLease, wanted: RunCommand
) -> Ended:
    """In the instance; a shell where the image has none, in the toolbox. Raises EngineError."""
    access = call.control.access
    if not wanted.toolbox:
        try:
            async with access.run(lease, instance, command) as attached:
                return await _Session(call, socket, lease, attached, paced=wanted.paced).run()
        except EngineError as error:
            if error.code != "engine.no_command" or wanted.argv:
                raise
    async with access.run(lease, instance, in_toolbox(command), toolbox=True) as attached:
        if not wanted.toolbox:
            await socket.send(Notice(text=TOOLBOX, code="toolbox"))
        return await _Session(call, socket, lease, attached, paced=wanted.paced).run()


def in_toolbox(command: Command) -> Command:
    """Users and directories of the instance are not known there."""
    return structs.replace(command, user="", workdir="")


def visitor(call: Call, wanted: Enter) -> Visitor:
    """Who asks, and what they say about it."""
    caller = call.caller
    return Visitor(actor=caller.actor, origin=caller.origin, reason=wanted.reason, seconds=wanted.seconds)


def _command(wanted: RunCommand) -> Command:
    if not wanted.argv and wanted.terminal is None:
        raise Invalid("cannot run nothing: a shell needs a terminal", hint="name a command", code="access.command")
    for one in wanted.env:
        if not one.partition("=")[0] or "=" not in one:
            raise Invalid("cannot set a variable: it is not NAME=VALUE", code="access.command")
    size = wanted.terminal
    return Command(
        argv=wanted.argv or SHELL,
        size=Size(size.columns, size.rows) if size else None,
        stdin=wanted.stdin or size is not None,
        user=wanted.user,
        workdir=wanted.workdir,
        env=wanted.env,
    )


class _Session:
    """What goes between a WebSocket and a command."""

    def __init__(self, call: Call, socket: Socket, lease: OpenLease, attached: Attached, *, paced: bool) -> None:
        self._call = call
        self._socket = socket
        self._lease = lease
        self._attached = attached
        self._inbox = Inbox()
        self._ahead: float = 0 if paced else -inf
        self._room = asyncio.Event()

    async def run(self) -> Ended:
        """Until one of them ends. Raises EngineError when the command could not be started."""
        lease = self._lease
        which, _ = await race(
            output=self._output(),
            lease=self._over(),
            client=self._input(),
            feed=self._feed(),
            warning=warn(self._socket, lease),
            right=watch(self._call, lease),
        )
        if which == "client":  # without a goodbye
            lease.end(Ending.LOST, "the client is gone")
        if which != "output":
            ending = lease.ending or Ending.DONE
            return Ended(ending=ending, text=lease.result)
        code = await self._attached.exit_code()
        if code in (None, KILLED) and not await self._call.control.access.alive(lease.lease.container):
            lease.end(Ending.GONE, "the instance ended")
        lease.end(Ending.DONE, f"exit code {code}" if code is not None else "how it ended is not known")
        ending = lease.ending or Ending.DONE
        return Ended(ending=ending, code=code, text=lease.result if ending is Ending.GONE else "")

    async def _output(self) -> None:
        recording = self._lease.recording
        async for stream, data in self._attached.output():
            self._lease.touch()
            if recording is not None:
                recording.output(data, stream)
            await self._socket.send_bytes(bytes([stream]) + data)
            self._ahead += len(data)
            while self._ahead > WINDOW:
                self._room.clear()
                await self._room.wait()

    async def _input(self) -> None:
        """Returns when the client is gone."""
        while (message := await self._socket.receive()) is not None:
            self._lease.touch()
            if isinstance(message, bytes):
                if message[:1] != bytes([IN]):
                    raise Invalid("cannot read the message: bytes for a command begin with 0", code="api.request")
                self._inbox.put(message[1:])
                continue
            said: Said = understood(message, Said)
            if isinstance(said, Resize):
                await self._resize(said)
            elif isinstance(said, Taken):
                self._ahead -= said.bytes
                self._room.set()
            elif isinstance(said, Leave):
                self._lease.end(Ending.DONE, "closed by whoever had opened it")
            else:
                self._inbox.put(b"")

    async def _feed(self) -> None:
        """Hand on what came in, as fast as the command takes it. One that takes no more is not at its end; never
        returns."""
        while data := await self._inbox.get():
            with contextlib.suppress(ConnectionError):
                await self._attached.write(data)
            await self._socket.send(Taken(bytes=len(data)))
        self._attached.end_input()
        await asyncio.Event().wait()

    async def _resize(self, size: Resize) -> None:
        await self._attached.resize(Size(size.columns, size.rows))
        if self._lease.recording is not None:
            self._lease.recording.resize(size.columns, size.rows)

    async def _over(self) -> None:
        await self._lease.over()


async def warn(socket: Socket, lease: OpenLease) -> None:
    """Say when little time is left; then nothing more. Never returns."""
    left = lease.left - WARNING
    if left > 0:
        await asyncio.sleep(left)
        await socket.send(Notice(text=f"this access ends in {WARNING:.0f} s", code="ends"))
    await asyncio.Event().wait()


async def watch(call: Call, lease: OpenLease) -> None:
    """Returns when whoever came in could not come in any more."""
    context = call.context
    config = call.control.config
    while True:
        await asyncio.sleep(context.limits.right_again)
        try:
            caller = await identify(call.request, call.registry, context.sessions, config.api.local)
            require(caller, Access.ENTER, "GET", Policy.of(config))
        except Forbidden:
            lease.end(Ending.REVOKED, "whoever opened it may not be inside any more")
            return
        except ConnectionError as error:
            lease.end(Ending.LOST, str(error))
            return

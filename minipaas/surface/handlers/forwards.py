"""Ports of an instance: one WebSocket holds the lease, and each connection is another one."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from minipaas.engine.attach import ERR, Attached
from minipaas.forensics.leases import OpenLease
from minipaas.forensics.limits import SHOWN
from minipaas.model.errors import Invalid
from minipaas.model.lease import Ending
from minipaas.race import race
from minipaas.surface.call import Call
from minipaas.surface.handlers.commands import visitor, warn, watch
from minipaas.surface.handlers.leases import lease_view
from minipaas.surface.inbox import Inbox
from minipaas.surface.websocket import Socket, understood
from minipaas.surface.wire_access import Ended, ForwardPorts, InputEnds, Opened, Taken

LOOK_EVERY = 2.0
"""Seconds between two looks whether the instance is still there."""


async def run(call: Call) -> web.WebSocketResponse:
    """A lease, from its beginning to its end."""
    async with Socket.open(call, ends_itself=True) as socket:
        wanted = await socket.begin(ForwardPorts, call.context.limits.socket_begin)
        access = call.control.access
        instance = access.instance(call.app, wanted.service, wanted.slot)
        async with access.forward(instance, wanted.ports, visitor(call, wanted)) as lease:
            await socket.send(Opened(lease=lease_view(lease.lease)))
            which, _ = await race(
                lease=_over(lease),
                client=_gone(socket),
                instance=_dead(call, instance.id),
                warning=warn(socket, lease),
                right=watch(call, lease),
            )
            if which == "instance":
                lease.end(Ending.GONE, "the instance ended")
            lease.end(Ending.DONE)
        await socket.send(Ended(ending=lease.ending or Ending.DONE, text=lease.result))
    return socket.response


async def connect(call: Call) -> web.WebSocketResponse:
    """One connection."""
    async with Socket.open(call, ends_itself=True) as socket:
        lease = call.request.match_info["lease"]
        async with call.control.access.connect(lease, call.query["port"], call.caller.actor) as (held, attached):
            await socket.send(await _Connection(socket, held, attached).run())
    return socket.response


class _Connection:
    """What goes between a WebSocket and a connection."""

    def __init__(self, socket: Socket, lease: OpenLease, attached: Attached) -> None:
        self._socket = socket
        self._lease = lease
        self._attached = attached
        self._inbox = Inbox()
        self._said = ""

    async def run(self) -> Ended:
        """Until the instance closes it, the client is gone, or the lease is over."""
        which, _ = await race(output=self._output(), lease=_over(self._lease), client=self._input(), feed=self._feed())
        if which != "output":
            return Ended(ending=self._lease.ending or Ending.DONE, text=self._lease.result)
        code = await self._attached.exit_code()
        return Ended(ending=Ending.FAILED if code else Ending.DONE, code=code, text=self._said[:SHOWN])

    async def _output(self) -> None:
        async for stream, data in self._attached.output():
            self._lease.touch()
            if stream == ERR:
                self._said += data.decode(errors="replace")[:SHOWN]
            else:
                await self._socket.send_bytes(data)

    async def _input(self) -> None:
        """Returns when the client is gone."""
        while (message := await self._socket.receive()) is not None:
            self._lease.touch()
            if isinstance(message, bytes):
                self._inbox.put(message)
            else:
                understood(message, InputEnds)
                self._inbox.put(b"")

    async def _feed(self) -> None:
        """Hand on what came in. Never returns."""
        while data := await self._inbox.get():
            with contextlib.suppress(ConnectionError):
                await self._attached.write(data)
            await self._socket.send(Taken(bytes=len(data)))
        self._attached.end_input()
        await asyncio.Event().wait()


async def _over(lease: OpenLease) -> None:
    await lease.over()


async def _gone(socket: Socket) -> None:
    if await socket.receive() is not None:
        raise Invalid("cannot read the message: nothing is awaited", code="api.request")


async def _dead(call: Call, container: str) -> None:
    """Returns when the instance has ended."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if not any(one.id == container and one.running for one in call.control.observed.instances):
            return

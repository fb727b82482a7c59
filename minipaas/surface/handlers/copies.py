"""Files out of an instance and into it, over a WebSocket, as a tar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from aiohttp import web

from minipaas.engine.archive import Archive
from minipaas.forensics.leases import OpenLease
from minipaas.forensics.tarcheck import TarCheck
from minipaas.model.errors import Invalid, Missing, Refused
from minipaas.model.lease import Ending
from minipaas.model.units import human_bytes
from minipaas.race import race
from minipaas.surface.call import Call
from minipaas.surface.handlers.commands import visitor, watch
from minipaas.surface.handlers.leases import lease_view
from minipaas.surface.inbox import Inbox
from minipaas.surface.websocket import Socket, understood
from minipaas.surface.wire_access import CopyFiles, Ended, InputEnds, Opened, Place, Taken


async def run(call: Call) -> web.WebSocketResponse:
    """One copy from its beginning to its end."""
    async with Socket.open(call, ends_itself=True) as socket:
        wanted = await socket.begin(CopyFiles, call.context.limits.socket_begin)
        access = call.control.access
        instance = access.instance(call.app, wanted.service, wanted.slot)
        async with access.files(instance, wanted.path, visitor(call, wanted), into=wanted.into) as (lease, archive):
            await socket.send(Opened(lease=lease_view(lease.lease)))
            copy = _Copy(call, socket, lease, archive)
            ended = await copy.run(wanted.path, into=wanted.into)
        await socket.send(ended)
    return socket.response


class _Copy:
    """What goes between a WebSocket and Podman's archive."""

    def __init__(self, call: Call, socket: Socket, lease: OpenLease, archive: Archive) -> None:
        self._call = call
        self._socket = socket
        self._lease = lease
        self._archive = archive
        self._largest = call.control.access.largest_copy
        self._inbox = Inbox()
        self._total = 0

    async def run(self, path: str, *, into: bool) -> Ended:
        """Until all is there, the lease is over, or the client is gone. Raises what Podman says against it."""
        lease = self._lease
        which, _ = await race(
            files=self._into(path) if into else self._out_of(path),
            lease=self._over(),
            client=self._input(into),
            right=watch(self._call, lease),
        )
        if which == "client":
            lease.end(Ending.LOST, "the client is gone")
        lease.end(Ending.DONE, human_bytes(self._total))
        return Ended(ending=lease.ending or Ending.DONE, text=lease.result)

    async def _out_of(self, path: str) -> None:
        container = self._lease.lease.container
        if await self._archive.stat(container, path) is None:
            raise Missing(f"cannot copy {path}: it is not there", code="access.no_file")
        async with self._archive.read(container, path) as pieces:
            async for data in pieces:
                self._count(data)
                await self._socket.send_bytes(data)

    async def _into(self, path: str) -> None:
        container = self._lease.lease.container
        place = await self._place(container, path)
        await self._socket.send(place)
        await self._archive.write(container, place.directory, self._pieces())

    async def _place(self, container: str, path: str) -> Place:
        """As cp(1) has it: into a directory that is there, else as that name. Raises Missing when there is none for
        it."""
        there = await self._archive.stat(container, path)
        if there is not None and there.directory:
            return Place(directory=path, name=None)
        pure = PurePosixPath(path)
        parent = str(pure.parent)
        above = await self._archive.stat(container, parent)
        if path.endswith("/") or above is None or not above.directory:
            lacking = path if path.endswith("/") else parent
            raise Missing(f"cannot copy to {path}: there is no directory {lacking}", code="access.no_file")
        return Place(directory=parent, name=pure.name)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The tar that comes in, checked."""
        check = TarCheck(self._largest)
        while data := await self._inbox.get():
            check.feed(data)
            self._count(data)
            yield data
            await self._socket.send(Taken(bytes=len(data)))
        check.end()

    def _count(self, data: bytes) -> None:
        self._lease.touch()
        self._total += len(data)
        if self._total > self._largest:
            raise Refused(
                f"cannot copy more than {human_bytes(self._largest)}",
                hint="[access] copy in config.toml says so",
                code="access.too_large",
            )

    async def _input(self, into: bool) -> None:
        """Returns when the client is gone."""
        while (message := await self._socket.receive()) is not None:
            if not into:
                raise Invalid("cannot read the message: nothing is awaited", code="api.request")
            if isinstance(message, bytes):
                self._inbox.put(message)
            else:
                understood(message, InputEnds)
                self._inbox.put(b"")

    async def _over(self) -> None:
        await self._lease.over()

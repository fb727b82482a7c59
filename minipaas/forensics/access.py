"""Going in: the one place through which anybody enters an instance. Every way is on a lease.

What always holds: the lease is open before anything is done in the instance, and what was begun is ended with it; an
instance that somebody could have written to is marked before it can be, and looked at when they have left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from minipaas.engine.archive import Archive
from minipaas.engine.attach import Attached, Command
from minipaas.engine.engine import Engine
from minipaas.forensics import accounts, limits
from minipaas.forensics.files import own
from minipaas.forensics.kept import Kept
from minipaas.forensics.leases import Leases, OpenLease
from minipaas.forensics.looks import Looks
from minipaas.forensics.target import choose
from minipaas.forensics.toolbox import Toolbox
from minipaas.forensics.touched import Touch, Touched
from minipaas.model.capsule import FileChange
from minipaas.model.config import AccessConfig
from minipaas.model.errors import EngineError, MinipaasError, Missing, Refused
from minipaas.model.lease import Entry
from minipaas.model.observed import Instance, Observed
from minipaas.registry.registry import Registry

DIRECTORY = "access"
"""In the data directory."""
LOOPBACK = "127.0.0.1"
SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")
"""The better of the shells that there are."""


class Visitor(Struct, frozen=True, kw_only=True):
    """Who comes in, from where, why, and for how long (seconds; None: as long as is usual)."""

    actor: str
    origin: str
    reason: str = ""
    seconds: float | None = None


class Forward:
    """An open lease for connections."""

    def __init__(self, lease: OpenLease, container: str, ports: tuple[int, ...]) -> None:
        self.lease = lease
        self.container = container
        """Of tools, beside the instance."""
        self.ports = ports
        self.connections = 0


class Access:
    """One for the box."""

    def __init__(
        self, engine: Engine, registry: Registry, config: AccessConfig, data: Path, observed: Callable[[], Observed]
    ) -> None:
        directory = data / DIRECTORY
        self._engine = engine
        self._observed = observed
        self.largest_copy = int(config.copy)
        self.kept = Kept(directory, config.recordings, config.keep)
        self._forwards: dict[str, Forward] = {}
        self.toolbox = Toolbox(engine)
        self.leases = Leases(registry, self.kept, config)
        self.touched = Touched(directory / "touched.json")
        self._looks = Looks(self._look)

    def close(self) -> None:
        """End all accesses, and let nobody in any more."""
        self.leases.close()
        self._looks.close()

    def instance(self, app: str, service: str | None, slot: int | None) -> Instance:
        """See `choose`."""
        return choose(self._observed(), app, service, slot)

    @asynccontextmanager
    async def command(self, instance: Instance, command: Command, visitor: Visitor) -> AsyncIterator[OpenLease]:
        """A lease for a command in an instance; `run` runs it."""
        kind = Entry.SHELL if command.size is not None else Entry.EXEC
        async with self.leases.hold(
            kind,
            instance,
            what=command.argv[0] if command.argv is not SHELL else "",
            actor=visitor.actor,
            origin=visitor.origin,
            reason=visitor.reason,
            seconds=visitor.seconds,
            record=True,
        ) as lease:
            await self._touch(instance, kind, visitor)
            if lease.recording is not None:
                size = command.size
                lease.recording.begin(size.columns if size else 80, size.rows if size else 24, command.argv[0])
            try:
                yield lease
            finally:
                self._looks.after(instance.id)

    @asynccontextmanager
    async def files(
        self, instance: Instance, path: str, visitor: Visitor, *, into: bool
    ) -> AsyncIterator[tuple[OpenLease, Archive]]:
        """A lease for copying files out of or into an instance."""
        async with self.leases.hold(
            Entry.COPY,
            instance,
            what=f"{'to' if into else 'from'} {path}",
            actor=visitor.actor,
            origin=visitor.origin,
            reason=visitor.reason,
            seconds=visitor.seconds,
        ) as lease:
            if into:
                await self._touch(instance, Entry.COPY, visitor)
            try:
                yield lease, self._engine.archive
            finally:
                self._looks.after(instance.id)

    @asynccontextmanager
    async def forward(self, instance: Instance, ports: tuple[int, ...], visitor: Visitor) -> AsyncIterator[OpenLease]:
        """A lease for connections to ports of an instance, published or not; `connect` makes them."""
        async with (
            self.leases.hold(
                Entry.FORWARD,
                instance,
                what=" ".join(map(str, ports)),
                actor=visitor.actor,
                origin=visitor.origin,
                reason=visitor.reason,
                seconds=visitor.seconds,
            ) as lease,
            self.toolbox.open(instance.id, lease.left) as container,
        ):
            self._forwards[lease.lease.id] = Forward(lease, container, ports)
            try:
                yield lease
            finally:
                del self._forwards[lease.lease.id]

    @asynccontextmanager
    async def connect(self, lease: str, port: int, actor: str) -> AsyncIterator[tuple[OpenLease, Attached]]:
        """One connection: from within the instance's network, to its loopback. Raises Missing for a lease that is not
        open or not this actor's, Refused for another port, MinipaasError for too many."""
        forward = self._forwards.get(lease)
        if forward is None or forward.lease.lease.actor != actor:
            raise Missing(
                f"cannot connect: there is no open forward {lease} of yours",
                hint="open one: minipaas forward APP PORT",
                code="access.not_open",
            )
        if port not in forward.ports:
            raise Refused(f"cannot connect to port {port}: the access is not for it", code="access.port")
        if forward.connections >= limits.CONNECTIONS:
            raise MinipaasError(f"cannot connect: {forward.connections} connections are open", code="access.busy")
        forward.connections += 1
        try:
            command = Command(argv=("nc", LOOPBACK, str(port)))
            async with self._engine.attach(forward.container, command) as attached:
                yield forward.lease, attached
        finally:
            forward.connections -= 1

    @asynccontextmanager
    async def run(
        self, lease: OpenLease, instance: Instance, command: Command, *, toolbox: bool = False
    ) -> AsyncIterator[Attached]:
        """The command itself, within its lease: in the instance, or in a container of tools beside it. Raises
        EngineError."""
        async with contextlib.AsyncExitStack() as stack:
            container = instance.id
            if toolbox:
                container = await stack.enter_async_context(self.toolbox.open(container, lease.left))
            yield await stack.enter_async_context(self._engine.attach(container, command))

    def touched_services(self, app: str) -> frozenset[str]:
        """The services of an app in whose running instances somebody has been."""
        return frozenset(one.service for one in self._observed().of(app) if one.running and self.touched.of(one.id))

    async def drift(self, instance: Instance) -> list[FileChange]:
        """What differs in an instance from its image, without what Podman makes in every container; its mark knows it
        from then on. Raises EngineError."""
        changes = own(await self._engine.scenes.changes(instance.id))
        found = await asyncio.to_thread(accounts.checked, self._engine.archive, instance.id, instance.created, changes)
        await self.touched.seen(instance.id, sum(not one.podmans for one in found))
        return found

    async def alive(self, container: str) -> bool:
        """Whether an instance still runs; when nobody can tell it does. Podman hears of an end a moment after the
        commands within have ended: a look that finds it running is not the last one."""
        for pause in (*limits.ALIVE_PAUSES, None):
            try:
                if (await self._engine.inspect(container)).state.status != "running":
                    return False
            except EngineError as error:
                return error.code != "engine.missing"
            if pause is not None:
                await asyncio.sleep(pause)
        return True

    async def _look(self, container: str) -> None:
        instance = next((one for one in self._observed().instances if one.id == container), None)
        if instance is not None and self.touched.of(container) is not None:
            await self.drift(instance)
            self.leases.version += 1

    async def _touch(self, instance: Instance, kind: Entry, visitor: Visitor) -> None:
        touch = Touch(by=visitor.actor, how=kind.value, at=self.leases.now(), copied=kind is Entry.COPY)
        await self.touched.mark(instance.id, touch, [one.id for one in self._observed().instances])
        self.leases.version += 1

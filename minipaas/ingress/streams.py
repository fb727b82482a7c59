"""TCP and UDP ports as the rest of minipaas sees them: entries in, bytes through, drain, proofs, counts.

What always holds: a port is open exactly while an entry names it, or it is told why not and tried again; who connects
is answered by an instance that the entry names at that moment; a swap of entries closes no port that stays, and breaks
nothing off; nothing here raises because of what a client or an instance sends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from minipaas.ingress.branch import Branch
from minipaas.ingress.connections import Client, TcpGate
from minipaas.ingress.datagrams import UdpGate
from minipaas.ingress.doors import Doors, OwnDoors
from minipaas.ingress.gate import Gate
from minipaas.ingress.limits import StreamLimits, streams_allowed
from minipaas.ingress.proof import ProofResult
from minipaas.model.errors import Conflict
from minipaas.model.route import Backend
from minipaas.model.stream import CONNECTIONS, Stream, StreamEntry
from minipaas.model.traffic import StreamCounters

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds that a connection has to last: forwarders accept, and close when nobody is behind them."""


class Streams:
    """All streams of a process. For one event loop."""

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self.doors: Doors = OwnDoors(("0.0.0.0",))  # noqa: S104
        self.on_news: Callable[[], None] = lambda: None
        self.loop: asyncio.AbstractEventLoop
        self.now = 0.0
        """The loop's time at the last tick."""
        self.room = self.limits.connections
        self.carried = 0
        self._open = False
        self._left = False
        self._apps: dict[str, tuple[StreamEntry, ...]] = {}
        self._gates: dict[Stream, Gate] = {}
        self._shut: set[Gate] = set()
        """Closed ports on which something still goes on."""
        self._claimed: dict[Stream, list[socket.socket]] = {}
        self._branches: dict[Backend, Branch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None
        self._tried = 0.0
        self._gone: asyncio.Event | None = None

    def attach(self, doors: Doors, on_news: Callable[[], None]) -> None:
        """Where sockets come from, and who hears that a port could not be opened, or is open at last. Before `open`."""
        self.doors, self.on_news = doors, on_news

    # -- entries

    def open(self) -> None:
        """From now on ports are open."""
        self.loop = asyncio.get_running_loop()
        self.room = streams_allowed(self.limits)
        if self._left:
            self._left = False
            self._gates.clear()
        self._open = True
        self._settle()

    def set_app(self, app: str, entries: tuple[StreamEntry, ...]) -> None:
        """Replace all streams of an app in one swap."""
        if entries:
            self._apps[app] = entries
        else:
            self._apps.pop(app, None)
        self._settle()

    def entries(self) -> tuple[StreamEntry, ...]:
        """The table now, sorted; also of ports that could not be opened."""
        return tuple(sorted(entry for owned in self._apps.values() for entry in owned))

    def claim(self, app: str, entries: Iterable[StreamEntry]) -> None:
        """Make sure that these ports can be had, for the `set_app` that follows. Raises Conflict, and then nothing is
        different."""
        if not self._open or self._left:
            return
        had = []
        try:
            for entry in entries:
                gate = self._gates.get(entry.stream)
                if gate is not None and not gate.trouble and gate.entry.app == app:
                    continue
                if gate is not None and gate.entry.app != app:
                    raise Conflict(
                        f"cannot listen on {entry.stream}: it belongs to {gate.entry.app}",
                        hint=f"choose another port, or remove the other app: minipaas remove {gate.entry.app}",
                        code="port.taken",
                    )
                self._claimed[entry.stream] = self.doors.open(entry.stream, local=entry.local)
                had.append(entry.stream)
        except Conflict:
            for stream in had:
                self._let_go(stream)
            raise

    def troubles(self) -> dict[Stream, str]:
        """Ports that an entry names and that could not be opened, and why."""
        return {gate.stream: f"{gate.trouble}; {gate.hint}" for gate in self._gates.values() if gate.trouble}

    def has(self, stream: Stream) -> bool:
        """Whether this port is open here. For other threads too."""
        gate = self._gates.get(stream)
        return gate is not None and not gate.trouble

    def branch(self, backend: Backend) -> Branch:
        """What goes to a port of an instance."""
        found = self._branches.get(backend)
        if found is None:
            found = self._branches[backend] = Branch(backend)
        return found

    def _settle(self) -> None:
        """Make the open ports those that the entries name."""
        if not self._open:
            return
        wanted = {entry.stream: entry for entry in self.entries()}
        for stream, gate in tuple(self._gates.items()):
            if stream not in wanted or wanted[stream].local != gate.entry.local:
                del self._gates[stream]
                self._close(gate)
                self.doors.close(stream)
        for stream, entry in wanted.items():
            known = self._gates.get(stream)
            if known is not None:
                known.become(entry)
                continue
            gate = self._gates[stream] = (TcpGate if stream.protocol == "tcp" else UdpGate)(self, entry)
            gate.become(entry)
            if not self._left:
                self._listen(gate)
        named = {backend for entry in wanted.values() for backend in entry.backends}
        for backend, branch in tuple(self._branches.items()):
            if backend not in named and not branch.carried:
                del self._branches[backend]
        for stream in tuple(self._claimed):
            self._let_go(stream)

    def _listen(self, gate: Gate) -> None:
        """Open its port; where that cannot be done, say so once, and try again later."""
        self._tried = self.loop.time()
        try:
            sockets = self._claimed.pop(gate.stream, None) or self.doors.open(gate.stream, local=gate.entry.local)
        except Conflict as error:
            if gate.trouble != error.message:
                log.warning("%s: %s; trying again", gate.entry.app, error.message)
                gate.trouble, gate.hint = error.message, error.hint
                self.on_news()
            self._start_ticking()
            return
        if gate.trouble:
            log.info("%s: %s is open now", gate.entry.app, gate.stream)
            gate.trouble = gate.hint = ""
            self.on_news()
        gate.listen(sockets)

    def _let_go(self, stream: Stream) -> None:
        """Of a port that was claimed and is not wanted after all."""
        for sock in self._claimed.pop(stream, ()):
            sock.close()
        if stream not in self._gates:
            self.doors.close(stream)

    def _close(self, gate: Gate) -> None:
        gate.shut(handed_on=self._left)
        if gate.carried:
            self._shut.add(gate)

    # -- what is carried

    def joined(self) -> None:
        """One connection more."""
        self._start_ticking()
        self.carried += 1

    def left(self) -> None:
        """One less."""
        self.carried -= 1
        if not self.carried and self._gone is not None:
            self._gone.set()

    def counters(self) -> tuple[StreamCounters, ...]:
        """All counts at this instant."""
        return tuple(self._gates[stream].counters() for stream in sorted(self._gates))

    def in_flight(self) -> dict[str, int]:
        """Connections by container id."""
        found: dict[str, int] = {}
        for branch in self._branches.values():
            if branch.carried:
                key = branch.backend.instance
                found[key] = found.get(key, 0) + len(branch.carried)
        return found

    async def drain(self, instances: Collection[str], limit: float) -> bool:
        """Wait until nothing goes to these instances (container ids), at most `limit` seconds; then cut what is left.
        Returns whether all had ended by itself."""
        leaving = [branch for backend, branch in self._branches.items() if backend.instance in instances]
        try:
            async with asyncio.timeout(limit):
                for branch in leaving:
                    await branch.quiet()
        except TimeoutError:
            for branch in leaving:
                branch.cut()
            return False
        return True

    # -- time

    def hold(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Something that goes on beside."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _start_ticking(self) -> None:
        if self._ticking is None:
            self.now = self.loop.time()
            self._ticking = self.loop.call_later(self.limits.tick, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self.now = now = self.loop.time()
        for gate in (*self._gates.values(), *self._shut):
            gate.look(now)
        self._shut = {gate for gate in self._shut if gate.carried}
        troubled = [gate for gate in self._gates.values() if gate.trouble]
        if troubled and not self._left and now - self._tried >= self.limits.retry:
            for gate in troubled:
                self._listen(gate)
        if self.carried or troubled:
            self._start_ticking()

    # -- proofs

    async def prove(self, backend: Backend, limit: float) -> ProofResult:
        """Whether an instance, routed or not, takes a connection that comes through the data path. It comes over a
        socket pair."""
        ours, theirs = socket.socketpair()
        entry = StreamEntry(Stream("tcp", 0), "", "", (backend,), limit, CONNECTIONS)
        self.loop = asyncio.get_running_loop()
        gate = TcpGate(self, entry)
        client = Client(gate, Branch(backend))
        try:
            theirs.setblocking(False)
            await self.loop.connect_accepted_socket(lambda: client, theirs)
            reader, writer = await asyncio.open_connection(sock=ours)
        except OSError as error:
            ours.close()
            theirs.close()
            return ProofResult(False, None, f"TCP: {error.strerror or error}")
        try:
            async with asyncio.timeout(limit):
                while client.link.opening and not client.gone:  # noqa: ASYNC110 - a tenth of a tick is soon enough
                    await asyncio.sleep(self.limits.tick / 10)
        except TimeoutError:
            writer.transport.abort()
            return ProofResult(False, None, f"TCP: no connection within {limit:g} seconds")
        if client.link.opening:
            writer.transport.abort()
            return ProofResult(False, None, "TCP: connection refused")
        return await _lasts(reader, writer)

    async def prove_open(self, stream: Stream, limit: float) -> ProofResult:
        """Whether a connection to the public port lasts, as a client would see it. UDP: whether the port is open."""
        gate = self._gates.get(stream)
        if gate is None or gate.trouble:
            return ProofResult(False, None, gate.trouble if gate is not None else "nothing listens there")
        if not gate.branches:
            return ProofResult(False, None, "no instance is ready")
        if not isinstance(gate, TcpGate):
            return ProofResult(True, None, "open")
        try:
            async with asyncio.timeout(limit):
                reader, writer = await asyncio.open_connection(*gate.reachable)
        except OSError as error:
            return ProofResult(False, None, f"TCP: {error.strerror or 'no connection in time'}")
        return await _lasts(reader, writer)

    # -- the end

    async def leave(self, limit: float) -> None:
        """Let nobody in any more: another process does. What goes on may do so for `limit` seconds."""
        self._left = True
        for gate in self._gates.values():
            self._close(gate)
        await self._ended(limit)
        await self.close(0)

    async def close(self, drain: float) -> None:
        """Let nobody in any more; end what has not ended in `drain` seconds."""
        self._left = True
        for gate in self._gates.values():
            self._close(gate)
        await self._ended(drain)
        for gate in (*self._gates.values(), *self._shut):
            for one in tuple(gate.carried):
                one.cut()
        for stream in tuple(self._claimed):
            self._let_go(stream)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=1.0)
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def _ended(self, limit: float) -> None:
        if self.carried and limit > 0:
            self._gone = asyncio.Event()
            try:
                async with asyncio.timeout(limit):
                    await self._gone.wait()
            except TimeoutError:
                return


async def _lasts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ProofResult:
    try:
        async with asyncio.timeout(LOOK):
            banner = await reader.read(1)
    except TimeoutError:
        return ProofResult(True, None, "TCP: connected")
    except OSError as error:
        return ProofResult(False, None, f"TCP: {error.strerror or error}")
    finally:
        writer.transport.abort()
    return ProofResult(True, None, "TCP: connected") if banner else ProofResult(False, None, "TCP: closed at once")

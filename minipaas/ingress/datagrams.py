"""UDP streams: what a client's address sends goes to one instance, and what that answers goes back to the address.

What always holds: a client's datagrams go to an instance that the table names now; answers leave from the socket, and
from the address of this box, that the client has written to (a connected socket takes no other); nothing is queued
here: where there is no room, or nobody, a datagram is dropped and counted, as IP would.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

from minipaas.ingress.branch import Branch
from minipaas.ingress.gate import Gate

if TYPE_CHECKING:
    from minipaas.ingress.streams import Streams
    from minipaas.model.stream import StreamEntry

_LARGEST = 65535
_ANCILLARY = 256
"""Bytes; an address takes less."""
_IP_PKTINFO, _IPV6_PKTINFO = 8, 50
"""Linux's numbers, for which Python 3.11 has no names; the same come with a datagram and go with one."""

Control = tuple[tuple[int, int, bytes], ...]
"""Control messages that go with an answer."""
Key = tuple[int, Any, Control]
"""Which socket, whose address, which of ours."""


class UdpGate(Gate):
    """An open UDP port. A flow is the datagrams of one client's address."""

    def __init__(self, streams: Streams, entry: StreamEntry) -> None:
        super().__init__(streams, entry)
        self._sockets: list[socket.socket] = []
        self._flows: dict[Key, Flow] = {}

    def listen(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        for number, sock in enumerate(sockets):
            self.streams.loop.add_reader(sock, self._readable, number, sock)

    def shut(self, *, handed_on: bool) -> None:
        for sock in self._sockets:
            self.streams.loop.remove_reader(sock)
        for one in tuple(self.carried):
            flow = cast(Flow, one)
            if handed_on:  # answers still come, over a socket of its own
                flow.retire(apart=True)
            else:
                flow.cut()
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    def look(self, now: float) -> None:
        for one in tuple(self.carried):
            flow = cast(Flow, one)
            if now - flow.since > (self.limits.linger if flow.retired else self.entry.idle):
                flow.cut()

    def _readable(self, number: int, sock: socket.socket) -> None:
        for _ in range(self.limits.batch):
            try:
                data, ancillary, _, address = sock.recvmsg(_LARGEST, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an answer of before met a closed port: of no interest
                continue
            self.received += len(data)
            self._pass_on(data, (number, address, _source(ancillary)), sock)

    def _pass_on(self, data: bytes, key: Key, sock: socket.socket) -> None:
        """To the client's instance; to another one when that has gone or refuses."""
        tried: set[Branch] = set()
        for attempt in range(self.limits.attempts):
            flow = self._flows.get(key)
            if flow is not None and flow.branch not in self.branches:
                flow.retire()
                flow = None
            if flow is None:
                flow = self._begin(key, sock, tried)
            if flow is None:
                break
            self.retries += attempt > 0
            if flow.send(data):
                return
            tried.add(flow.branch)
            flow.branch.shunned = self.streams.loop.time() + self.limits.shun
            flow.cut()
        self.dropped += 1

    def _begin(self, key: Key, sock: socket.socket, tried: set[Branch]) -> Flow | None:
        """A client that was not there; None: there is no room, or nobody to ask."""
        if not tried and not self.room():
            return None
        branch = self.pick(tried)
        if branch is None:
            self.refused += 1
            return None
        self.streams.joined()
        try:
            flow = Flow(self, key, sock, branch)
        except OSError:
            self.streams.left()
            self.refused += 1
            return None
        self._flows[key] = flow
        self.carried.add(flow)
        return flow

    def forget(self, flow: Flow) -> None:
        """Its client's next datagram begins another."""
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]


class Flow:
    """One client's address, and a socket to the instance that answers it."""

    __slots__ = ("_apart", "_client", "_gate", "_sock", "branch", "key", "retired", "since")

    def __init__(self, gate: UdpGate, key: Key, client: socket.socket, branch: Branch) -> None:
        """Raises OSError when no socket can be had."""
        self.key = key
        self.branch = branch
        self.since = gate.streams.now
        self.retired = False
        self._gate = gate
        self._client = client
        self._apart = False
        backend = branch.backend
        self._sock = socket.socket(socket.AF_INET6 if ":" in backend.host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.connect((backend.host, backend.port))
        except OSError:
            self._sock.close()
            raise
        gate.streams.loop.add_reader(self._sock, self._readable)
        branch.take(self)

    def send(self, data: bytes) -> bool:
        """Whether the instance is there, as far as is known: a port that nobody has open refuses the second datagram.
        What finds no room is dropped."""
        self.since = self._gate.streams.now
        try:
            self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            self._gate.dropped += 1
        except OSError:
            return False
        return True

    def _readable(self) -> None:
        gate = self._gate
        _, address, control = self.key
        for _ in range(gate.limits.batch):
            try:
                data = self._sock.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # nobody has the port open there
                self.branch.shunned = gate.streams.loop.time() + gate.limits.shun
                gate.refused += 1
                self.cut()
                return
            if not self.retired:
                self.since = gate.streams.now
            try:
                self._client.sendmsg([data], control, 0, address)
                gate.sent += len(data)
            except OSError:
                gate.dropped += 1

    def retire(self, *, apart: bool = False) -> None:
        """Its client's datagrams go elsewhere from now on; answers come back for a moment yet. `apart`: the socket of
        the port is about to be closed."""
        if apart and not self._apart:
            self._apart = True
            self._client = self._client.dup()
        if not self.retired:
            self.retired = True
            self.since = self._gate.streams.now
            self._gate.forget(self)

    def cut(self) -> None:
        """Forget it now."""
        gate = self._gate
        if self not in gate.carried:
            return
        gate.streams.loop.remove_reader(self._sock)
        self._sock.close()
        if self._apart:
            self._client.close()
        gate.carried.remove(self)
        gate.forget(self)
        self.branch.leave(self)
        gate.streams.left()


def _source(ancillary: list[tuple[int, int, bytes]]) -> Control:
    """The control message that makes an answer leave from the address that a datagram came to. Of `in_pktinfo` the
    interface is left to the routes, and the address is the one it was received at (ip(7))."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= 12:
            return ((level, kind, bytes(4) + data[4:8] + bytes(4)),)
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO) and len(data) >= 20:
            return ((level, kind, data[:20]),)
    return ()

"""Whole conversations: two clients share two instances; what each says is spoiled, cut anywhere and mixed in time.

What must hold, whatever they say:
- nothing raises, and nothing stays: when time goes by, every connection ends and every count is back at nothing;
- what an instance gets are whole requests that a plain reader reads as the client's bytes read, in their order;
- what a client gets are whole answers, or a connection that breaks off;
- an answer reaches the client whose request it answers, and no other.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from fuzzing import material, reference
from fuzzing.reference import Doubt, Message
from fuzzing.world import BACKENDS, TABLES, World
from minipaas.ingress import pages
from minipaas.ingress.client import Client
from minipaas.ingress.upstream import Upstream

_ID = re.compile(rb"id=[0-9a-f]{12};")
_SWITCH = re.compile(rb"HTTP/1\.[01] 101")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?]*")
PEERS = ("192.0.2.1", "10.0.0.9")
"""Of the two clients; the second is a trusted proxy."""
STEPS = 4000
"""More than any conversation needs."""


class Finding(Exception):
    """What must hold does not."""


class Visitor:
    """One client and what it says."""

    def __init__(self, world: World, random: Random, peer: str, clean: bool) -> None:
        self.protocol, self.wire = world.visit(peer)
        wire = b"".join(material.request(random) for _ in range(random.randint(1, 3)))
        self.said = wire if clean else material.spoil(random, wire)
        self.pieces = material.pieces(random, self.said)
        self.given = b""
        self.through: list[Message] = []
        """Whole requests that an instance has read."""

    def speak(self) -> None:
        piece = self.pieces.pop(0)
        self.given += piece
        self.protocol.data_received(piece)

    @property
    def ready(self) -> bool:
        return bool(self.pieces) and self.wire.reading and not self.wire.closed


class Instance:
    """The other end of one connection to an instance."""

    def __init__(self, upstream: Upstream) -> None:
        self.protocol = upstream
        self.wire: Any = upstream.transport
        self.wire.on_write = self._written
        self.written: list[tuple[int, Any]] = []
        """Where each write ended, and the client that it was made for."""
        self.at = 0
        self.pieces: list[bytes] = []
        self.tunnel = False
        self.leaving = False

    def _written(self) -> None:
        self.written.append((len(self.wire.sent), self.protocol.client))

    def owner(self, start: int, end: int) -> Any:
        """The client whose bytes these are."""
        before = 0
        owners = set()
        for until, client in self.written:
            if until > start and before < end:
                owners.add(client)
            before = until
        if len(owners) != 1:
            raise Finding(f"bytes of {len(owners)} clients in one request")
        return owners.pop()


class Conversation:
    """One input: a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.world = World(logged=random.random() < 0.5)
        self.world.swap(random.choice([table for table in TABLES if table[0].backends == BACKENDS]))
        self.clean = random.random() < 0.3
        """Instances answer well."""
        self.visitors = [Visitor(self.world, random, peer, random.random() < 0.3) for peer in PEERS]
        self.instances: list[Instance] = []
        self.owners: dict[bytes, Client] = {}

    def run(self) -> None:
        """Raises Finding, or whatever the ingress raises."""
        for _ in range(STEPS):
            if not self._step():
                break
        else:
            raise Finding("a conversation without an end")
        self._time_goes_by()
        self._judge()

    # -- what happens

    def _step(self) -> bool:
        """One thing that can happen now; False: nothing can."""
        random, world = self.random, self.world
        world.loop.run_soon()
        can: list[Any] = [one.speak for one in self.visitors if one.ready]
        if world.asked:
            can.append(self._connect)
        for one in self.instances:
            if one.wire.closed:
                continue
            if len(one.wire.sent) > one.at and not one.tunnel:
                can.append(lambda one=one: self._answer(one))
            if one.pieces and one.wire.reading:
                can.append(lambda one=one: one.protocol.data_received(one.pieces.pop(0)))
            elif one.leaving and not one.pieces:
                can.append(lambda one=one: self._leave(one))
        if not can:
            return bool(world.loop.soon)
        random.choice(can)()
        if random.random() < 0.06:
            self._trouble()
        return True

    def _connect(self) -> None:
        pool, client, handle = self.world.asked.popleft()
        if handle.cancelled:
            return
        if self.random.random() < 0.93:
            upstream = self.world.upstream(pool)
            self.instances.append(Instance(upstream))
            client.connected(upstream)
        else:
            client.not_connected(self.random.choice((pages.REFUSED, pages.NO_CONNECT)))

    def _answer(self, one: Instance) -> None:
        """Read what has come; answer it when it is whole, or, seldom, before."""
        random = self.random
        try:
            message, end = reference.request(bytes(one.wire.sent), one.at)
        except Doubt as doubt:
            raise Finding(f"an instance got what is not clear: {doubt}") from None
        if not message.whole:
            if random.random() < 0.03 and not one.leaving:
                one.pieces.append(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                one.leaving = True
            return
        start, one.at = one.at, end
        client = one.owner(start, end)
        for visitor in self.visitors:
            if visitor.protocol is client:
                visitor.through.append(message)
        identity = b"id=%012x;" % random.randrange(1 << 48)
        self.owners[identity] = client
        upgrade = b"upgrade" in message.fields
        answer = material.answer(random, identity, message.start, upgrade)
        if not self.clean and random.random() < 0.5:
            answer = material.spoil(random, answer)
        one.tunnel = upgrade and _SWITCH.search(answer) is not None
        one.pieces += material.pieces(random, answer)
        one.leaving = one.leaving or b"Connection: close" in answer

    def _leave(self, one: Instance) -> None:
        if self.random.random() < 0.5:
            self._end_of(one.protocol, one.wire)
        else:
            one.wire.lose(self.random.choice((None, ConnectionResetError())))

    def _end_of(self, protocol: Any, wire: Any) -> None:
        """The other side has said all; as event loops do it."""
        if not protocol.eof_received():
            wire.close()

    def _trouble(self) -> None:
        random, world = self.random, self.world
        what = random.randrange(9)
        if what == 0:
            world.loop.advance(0.6)
        elif what == 1 and random.random() < 0.2:
            world.loop.advance(random.choice((5.0, 31.0, 61.0)))
        elif what == 2:
            open_ = [one for one in self.visitors if not one.wire.lost]
            if open_ and random.random() < 0.3:
                random.choice(open_).wire.lose(random.choice((None, ConnectionResetError())))
        elif what == 3 and self.instances:
            one = random.choice(self.instances)
            if not one.wire.closed and random.random() < 0.5:
                self._leave(one)
        elif what == 4 and random.random() < 0.2:
            world.swap(random.choice((*TABLES, ())))
        elif what >= 5:
            sides = [*self.visitors, *self.instances]
            wire = random.choice(sides).wire
            if not wire.closed:
                wire.full = not wire.full
                (wire.protocol.pause_writing if wire.full else wire.protocol.resume_writing)()

    # -- what must hold

    def _time_goes_by(self) -> None:
        world, random = self.world, self.random
        for one in (*self.visitors, *self.instances):
            if one.wire.full and not one.wire.closed:
                one.wire.full = False
                one.wire.protocol.resume_writing()
        for visitor in self.visitors:
            if random.random() < 0.4 and not visitor.wire.closed:
                self._end_of(visitor.protocol, visitor.wire)
        for _ in range(12):
            for _ in range(4):
                world.loop.run_soon()
            while world.asked:
                _, client, handle = world.asked.popleft()
                if not handle.cancelled:
                    client.not_connected(pages.NO_CONNECT)
            world.loop.advance(world.limits.tunnel_gap / 4)
        for _ in range(4):
            world.loop.run_soon()

    def _judge(self) -> None:
        world = self.world
        if (
            world.clients
            or world.asked
            or any(pool.in_flight or pool.idle or pool.tunnels for pool in world.pools.values())
        ):
            raise Finding("something has stayed")
        if any(target.tally.in_flight for target in world.table.targets):
            raise Finding("a request is counted as under way for ever")
        if any(
            target.guard.waiting or target.guard._present or target.guard._callers for target in world.table.targets
        ):
            raise Finding("a request waits for ever")
        for one in self.instances:
            if not one.wire.lost:
                raise Finding("a connection to an instance has stayed")
            if one.protocol.client is not None:
                raise Finding("a connection to an instance holds its client")
        answered = sum(self._judge_visitor(visitor) for visitor in self.visitors)
        if world.access_log is not None and len(world.access_log._waiting) < answered:
            raise Finding("a request that was answered is not in the access log")

    def _judge_visitor(self, visitor: Visitor) -> int:
        """Returns how many answers it got."""
        meant = reference.requests(visitor.given)
        number = 0
        for message in visitor.through:
            while number < len(meant) and not _same(message, meant[number]):
                number += 1
            if number == len(meant):
                raise Finding(f"an instance read a request that the client did not send: {message}")
        output = bytes(visitor.wire.sent)
        for identity in _ID.findall(output):
            if self.owners.get(identity, visitor.protocol) is not visitor.protocol:
                raise Finding("an answer to another client")
        try:
            got = reference.answers(output, [one.start for one in meant], visitor.wire.lost)
        except Doubt as doubt:
            raise Finding(f"a client got what is not clear: {doubt}") from None
        finals = [one for one in got if not one.start.startswith(b"1")]
        if len(finals) > len(meant) + 1:
            raise Finding("more answers than requests")
        for message in (*visitor.through, *got):
            if reference.unfit(message.trailers):
                raise Finding(f"a trailer that belongs into a head went on: {message.trailers}")
        return len(finals)


def _same(read: Message, meant: Message) -> bool:
    target = _ABSOLUTE.sub(b"", meant.target, count=1)
    rest = iter(meant.trailers)
    return (
        meant.whole
        and (read.start, read.target.lstrip(b"/"), read.body) == (meant.start, target.lstrip(b"/"), meant.body)
        and all(line in rest for line in read.trailers)
    )

"""Ports that an heir opens and closes while main watches: main holds them too, as it is main that goes on in the end.

A socket pair beside the channel carries them: one datagram a port, with the open descriptor (SCM_RIGHTS, unix(7)) when
it was opened. A peer that knows nothing of this never reads, and what it is not told is bound anew later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import msgspec
from msgspec import Struct

from minipaas.takeover import limits
from minipaas.takeover.listeners import STREAMS, Held, Listeners, adopt_stream


class _Port(Struct, frozen=True):
    kind: str
    wanted: str


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends; the first is main's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


class Giver:
    """The heir's end. `opened` and `closed` never raise: a port that could not be passed on is bound anew later."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def opened(self, one: Held) -> None:
        """A port was bound."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._sock, [msgspec.json.encode(_Port(one.kind, one.wanted))], [one.sock.fileno()])

    def closed(self, one: Held) -> None:
        """A port is not wanted any more."""
        with contextlib.suppress(OSError):
            self._sock.send(msgspec.json.encode(_Port(one.kind, one.wanted)))

    def close(self) -> None:
        """Nothing more is said."""
        self._sock.close()


class Taker:
    """Main's end: what comes is held in `listeners`, until `close`."""

    def __init__(self, sock: socket.socket, listeners: Listeners) -> None:
        self._sock = sock
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)

    def _readable(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, limits.MESSAGE, 4)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._loop.remove_reader(self._sock)  # the heir has ended
                return
            self._take(data, descriptors)

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        try:
            port = msgspec.json.decode(data, type=_Port)
        except msgspec.MsgspecError:
            port = _Port("", "")
        if port.kind in STREAMS and descriptors:
            self._listeners.add(adopt_stream(descriptors.pop(0), port.kind, port.wanted))
        elif port.kind in STREAMS:
            self._listeners.drop(port.kind, port.wanted)
        for descriptor in descriptors:
            os.close(descriptor)

    def close(self) -> None:
        """Take what is there already, and no more."""
        if self._sock.fileno() >= 0:
            self._readable()
            self._loop.remove_reader(self._sock)
            self._sock.close()

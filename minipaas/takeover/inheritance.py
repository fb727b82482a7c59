"""What a process of `serve` starts with that another one had: listening sockets, the lock of the data directory, and a
channel to the other one.

It comes in one variable of the environment, as JSON, and in open descriptors; or there is none of it, and the sockets
are those of the service manager.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from minipaas.model.errors import Invalid
from minipaas.takeover.listeners import STREAMS, Held, adopt, adopt_stream, from_service_manager

VARIABLE = "MINIPAAS_TAKEOVER"
MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Words of the service manager to the process that it started, and to no other."""


class Role(StrEnum):
    """Who a process is."""

    MAIN = "main"
    """The one that the service manager, or a person, has started. Its process id stays, whatever version it runs."""
    HEIR = "heir"
    """Started by main to take over from it, and to give the box back to the next program that main becomes."""


class _Socket(Struct, frozen=True):
    kind: str
    wanted: str
    fd: int


class _Will(Struct, frozen=True):
    """The variable's content."""

    role: Role
    channel: int
    lock: int
    sockets: tuple[_Socket, ...]
    child: int = 0
    """For main: the process that serves meanwhile, and is its child."""
    errors: int = -1
    """For an heir: where its messages go when nobody listens to it any more."""
    streams: tuple[_Socket, ...] = ()
    """Apart from the others: a program that knows of no streams passes them over."""
    gifts: int = -1
    """For an heir: where main hears of ports that it opens."""


class Inheritance(Struct):
    """What there was. Descriptors belong to whoever takes them out of here."""

    role: Role = Role.MAIN
    held: tuple[Held, ...] = ()
    channel: socket.socket | None = None
    lock: int | None = None
    child: int = 0
    errors: int = -1
    gifts: socket.socket | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Inheritance:
        """Out of the environment, so that no child gets it. Raises Invalid."""
        given = from_service_manager(environ)
        text = environ.pop(VARIABLE, "")
        if not text:
            return cls(held=tuple(given))
        try:
            will = msgspec.json.decode(text, type=_Will)
            channel = socket.socket(fileno=will.channel)
            more = [one for one in (will.errors, will.gifts) if one >= 0]
            for descriptor in (will.channel, will.lock, *more):
                os.set_inheritable(descriptor, False)
            gifts = socket.socket(fileno=will.gifts) if will.gifts >= 0 else None
        except (msgspec.MsgspecError, OSError) as error:
            raise Invalid(
                f"cannot take the box over: {VARIABLE} does not say what there is: {error}",
                hint="it is for minipaas itself; start serve without it",
                code="start.takeover",
            ) from None
        held = tuple(adopt(one.fd, one.kind, one.wanted) for one in will.sockets)
        held += tuple(adopt_stream(one.fd, one.kind, one.wanted) for one in will.streams)
        return cls(will.role, held, channel, will.lock, will.child, will.errors, gifts)


class Bequest:
    """The same from the other side: descriptors made ready for a program that is started, or that this one becomes."""

    def __init__(
        self,
        role: Role,
        channel: int,
        lock: int,
        held: tuple[Held, ...],
        *,
        child: int = 0,
        errors: int = -1,
        gifts: int = -1,
    ) -> None:
        every = tuple(_Socket(one.kind, one.wanted, one.sock.fileno()) for one in held)
        sockets = tuple(one for one in every if one.kind not in STREAMS)
        streams = tuple(one for one in every if one.kind in STREAMS)
        will = _Will(role, channel, lock, sockets, child, errors, streams, gifts)
        self.text = msgspec.json.encode(will).decode()
        more = [one for one in (errors, gifts) if one >= 0]
        self.descriptors = [channel, lock, *more, *(one.fd for one in every)]

    def environment(self, environ: MutableMapping[str, str], *, manager: bool) -> dict[str, str]:
        """The environment of the other program; `manager`: it speaks for this process to the service manager."""
        hidden = () if manager else MANAGER
        return {**{name: value for name, value in environ.items() if name not in hidden}, VARIABLE: self.text}

"""What two processes of minipaas say to each other while one takes the box over from the other.

    heir                                   elder
     ── here ──> it runs, and has touched nothing yet
                        uploads end; the registry is closed; the ingress serves on by its present routes
     <── go ──
     opens the registry, looks, sets routes, opens the ingress on the same sockets
     ── ready ──>       accepts nothing more, and lets what is under way end
     ── beat ──>        every few seconds
     ── confirmed ──>   the trial is over
     ── failed ──>      instead of ready, or any time before: why

One JSON object a line. The two may be of different versions: what is not understood is passed over, and a message is
only ever given more fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TypeAlias

import msgspec
from msgspec import Struct

from minipaas.model.route import RouteEntry
from minipaas.model.stream import StreamEntry
from minipaas.model.typed import from_json, to_json
from minipaas.takeover import limits


class Here(Struct, frozen=True, tag="here"):
    """The heir runs."""

    version: str = ""
    pid: int = 0


class Go(Struct, frozen=True, tag="go"):
    """The registry is free."""


class Ready(Struct, frozen=True, tag="ready"):
    """The heir serves."""


class Beat(Struct, frozen=True, tag="beat"):
    """The heir's registry answers."""


class Confirmed(Struct, frozen=True, tag="confirmed"):
    """The heir's trial is over; it no longer needs anybody to watch it."""


class Failed(Struct, frozen=True, tag="failed"):
    """The heir cannot take over."""

    message: str = ""
    hint: str = ""
    code: str = ""


class Routes(Struct, frozen=True, tag="routes"):
    """From the heir: requests that still come in over old connections go there from now on."""

    app: str
    entries: tuple[RouteEntry, ...] = ()
    streams: tuple[StreamEntry, ...] = ()


class Drain(Struct, frozen=True, tag="drain"):
    """From the heir: let nothing be in flight to these instances; answered with Drained."""

    id: int
    instances: tuple[str, ...]
    timeout: float


class Drained(Struct, frozen=True, tag="drained"):
    """To the heir."""

    id: int
    quiet: bool = True


Message: TypeAlias = Here | Go | Ready | Beat | Confirmed | Failed | Routes | Drain | Drained


class Channel:
    """One end. Reading ends with None; writing to nobody does nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """On a connected socket, which belongs to the channel from now on."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=limits.MESSAGE)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Say it. A peer that does not listen is not waited for."""
        if not self._writer.is_closing():
            self._writer.write(to_json(message) + b"\n")

    async def receive(self) -> Message | None:
        """The next message that is understood; None when the peer is gone."""
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):
                return None
            if not line.endswith(b"\n"):
                return None
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                message: Message = from_json(line, Message)  # type: ignore[arg-type]  # a union is a type to msgspec
                return message

    @property
    def sock(self) -> socket.socket:
        """What it goes over, to be handed on."""
        found: socket.socket = self._writer.get_extra_info("socket")
        return found

    def close(self) -> None:
        """The peer hears the end."""
        self._writer.close()

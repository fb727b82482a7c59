"""The sockets that this box listens on, held apart from whoever accepts on them.

They come from the service manager (socket activation: sd_listen_fds(3)), from a predecessor that handed them over, or
are bound here. What always holds: while they are held, whoever connects waits in the kernel's queue, whether or not
somebody accepts just now; what is given out is a duplicate that its taker may close.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Protocol

from msgspec import Struct

from minipaas.ingress.doors import LOCAL, bind
from minipaas.model.errors import Invalid, MinipaasError
from minipaas.model.stream import Stream

KINDS = ("http", "https", "api", "unix")
"""The ingress, the ingress with TLS, the API on TCP, the API's Unix socket."""
STREAMS = ("tcp", "udp")
"""What apps have asked for: opened and closed with their releases."""
_FIRST = 3
"""The first descriptor that a service manager passes (SD_LISTEN_FDS_START)."""
_MOST = 64


class Giver(Protocol):
    """Tells another process, which holds these sockets too."""

    def opened(self, one: Held) -> None: ...
    def closed(self, one: Held) -> None: ...


class Held(Struct, frozen=True):
    """One listening socket."""

    kind: str
    """One of KINDS."""
    wanted: str
    """What it was bound for, in the configuration's words; empty: the service manager gave it."""
    sock: socket.socket


class Listeners:
    """All of them. `close` lets go of those that are held here; duplicates live on."""

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self._held = list(held)
        self._used: set[int] = set()
        self.giver: Giver | None = None
        """Who is to hear of ports of apps that are opened and closed."""

    @property
    def held(self) -> tuple[Held, ...]:
        """What a successor needs."""
        return tuple(self._held)

    def given(self, kind: str) -> bool:
        """Whether the service manager has decided where this kind listens."""
        return any(one.kind == kind and not one.wanted for one in self._held)

    def has(self, kind: str, wanted: str) -> bool:
        """Whether a socket for that is held already."""
        return any((one.kind, one.wanted) == (kind, wanted) for one in self._held)

    def open(self, kind: str, wanted: Sequence[str], bind: Callable[[str], socket.socket]) -> list[socket.socket]:
        """Duplicates of the sockets of a kind: the service manager's if it gave any; else one for each word of
        `wanted`, held already or bound now. Raises what `bind` raises; then what was bound before it stays held."""
        if self.given(kind):
            chosen = [one for one in self._held if one.kind == kind and not one.wanted]
        else:
            chosen = [self._one(kind, word, bind) for word in wanted]
        self._used.update(one.sock.fileno() for one in chosen)
        return [one.sock.dup() for one in chosen]

    def _one(self, kind: str, wanted: str, bind: Callable[[str], socket.socket]) -> Held:
        for one in self._held:
            if (one.kind, one.wanted) == (kind, wanted):
                return one
        made = Held(kind, wanted, bind(wanted))
        self._held.append(made)
        if self.giver is not None and kind in STREAMS:
            self.giver.opened(made)
        return made

    def keep_used(self, kinds: Sequence[str] = KINDS) -> None:
        """Of these kinds, close what nobody has asked for: the configuration has changed since it was bound."""
        for one in self._held:
            if one.kind in kinds and one.sock.fileno() not in self._used:
                one.sock.close()
        self._held = [one for one in self._held if one.sock.fileno() >= 0]

    def release(self, kind: str, port: int, but: Sequence[str] = ()) -> None:
        """Close what was bound for a port, on every address but those wanted for."""
        for one in self._held:
            if one.kind == kind and one.wanted not in but and one.wanted.rpartition(":")[2] == str(port):
                if self.giver is not None:
                    self.giver.closed(one)
                self._close(one)

    def add(self, one: Held) -> None:
        """A socket that another process has bound; it takes the place of one for the same."""
        self.drop(one.kind, one.wanted)
        self._held.append(one)

    def drop(self, kind: str, wanted: str) -> None:
        """Close what was bound for that."""
        for one in self._held:
            if (one.kind, one.wanted) == (kind, wanted):
                self._close(one)

    def _close(self, one: Held) -> None:
        self._used.discard(one.sock.fileno())
        one.sock.close()
        self._held = [other for other in self._held if other is not one]

    def close(self) -> None:
        """Stop listening, unless somebody else holds them too."""
        for one in self._held:
            one.sock.close()
        self._held.clear()
        self._used.clear()


def from_service_manager(environ: MutableMapping[str, str]) -> list[Held]:
    """The sockets that systemd, or whoever speaks its protocol, passed to this process (LISTEN_PID, LISTEN_FDS,
    LISTEN_FDNAMES); the variables are taken out of `environ`, they are for nobody else. Raises Invalid for a socket
    that is none of ours."""
    pid, count, names = (environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if not pid.isdigit() or int(pid) not in (os.getpid(), os.getppid()) or not count.isdigit():
        # The parent's id counts too: the one-file program unpacks itself and runs as a child of what was started.
        return []
    number = min(int(count), _MOST)
    labels = names.split(":") if names else []
    return [adopt(_FIRST + place, (labels[place] if place < len(labels) else "")) for place in range(number)]


def adopt(descriptor: int, name: str, wanted: str = "") -> Held:
    """A listening socket that came with the process. Raises Invalid when it is not one, or nothing that is known."""
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise _not_ours(descriptor, name, error.strerror or str(error)) from None
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) or not listens:
        raise _not_ours(descriptor, name, "it does not listen for connections")
    kind = name.removesuffix(".socket").rpartition("minipaas-")[2]
    if sock.family == socket.AF_UNIX and kind not in KINDS:
        kind = "unix"
    if kind not in KINDS or (kind == "unix") != (sock.family == socket.AF_UNIX):
        raise _not_ours(descriptor, name, f"{name!r} is not one of {', '.join(KINDS)}")
    sock.setblocking(False)
    return Held(kind, wanted, sock)


def adopt_stream(descriptor: int, kind: str, wanted: str) -> Held:
    """The bound socket of a stream that a predecessor passed on. Raises OSError when it is none."""
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return Held(kind, wanted, sock)


class StreamDoors:
    """The sockets of streams (`ingress.doors.Doors`), held over the life of this process. `addresses`: where they
    listen."""

    def __init__(self, listeners: Listeners, addresses: Sequence[str]) -> None:
        self._listeners = listeners
        self._addresses = addresses

    def open(self, stream: Stream, *, local: bool) -> list[socket.socket]:
        """Duplicates. Raises Conflict, and then none is held."""
        addresses = LOCAL if local else self._addresses
        words = [f"[{one}]:{stream.port}" if ":" in one else f"{one}:{stream.port}" for one in addresses]
        self._listeners.release(stream.protocol, stream.port, but=words)
        try:
            return self._listeners.open(
                stream.protocol, words, lambda word: bind(word.rpartition(":")[0].strip("[]"), stream)
            )
        except MinipaasError:
            self.close(stream)
            raise

    def close(self, stream: Stream) -> None:
        """Nobody is to come in here any more."""
        self._listeners.release(stream.protocol, stream.port)


def _not_ours(descriptor: int, name: str, why: str) -> MinipaasError:
    return Invalid(
        f"cannot use the socket {name or descriptor} that the service manager passed: {why}",
        hint="write FileDescriptorName=http (or https, api, unix) into its .socket unit",
        code="start.socket",
    )

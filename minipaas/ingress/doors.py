"""The sockets of streams: bound for a port of the box on every address that streams listen on, all or none.

Who holds them over the life of a process is somebody else's business: `Doors` is what the ingress needs of them.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Protocol

from minipaas.model.errors import Conflict
from minipaas.model.stream import Stream

LOCAL = ("127.0.0.1",)
BACKLOG = 1024
_RECEIVE = 1 << 20
"""Bytes of datagrams that may wait in the kernel, if it allows so many."""
_IP_PKTINFO, _IPV6_RECVPKTINFO = 8, 49
"""Linux's numbers, for which Python 3.11 has no names."""


class Doors(Protocol):
    """Where the sockets come from, and go to."""

    def open(self, stream: Stream, *, local: bool) -> list[socket.socket]:
        """Bound sockets that their taker closes; TCP ones listen. `local`: for clients on this box. Raises Conflict."""
        ...

    def close(self, stream: Stream) -> None:
        """Nobody is to come in here any more."""
        ...


class OwnDoors:
    """Sockets bound when they are asked for, on these IP addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    def open(self, stream: Stream, *, local: bool) -> list[socket.socket]:
        """See Doors."""
        bound: list[socket.socket] = []
        try:
            for address in LOCAL if local else self._addresses:
                bound.append(bind(address, stream))
        except BaseException:
            for sock in bound:
                sock.close()
            raise
        return bound

    def close(self, stream: Stream) -> None:
        """Who took the sockets has closed them."""


def bind(address: str, stream: Stream) -> socket.socket:
    """One socket on one address. Raises Conflict that says why not, and what to do."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tcp = stream.protocol == "tcp"
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; uvloop always does.
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP) if tcp else (socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock = socket.socket(family, *kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if tcp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, stream.port))
        if tcp:
            sock.listen(BACKLOG)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
            _ask_for_addresses(sock)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _explain(error, address, stream) from error
    return sock


def _ask_for_addresses(sock: socket.socket) -> None:
    """With each datagram, the address that it came to: the answer has to come from there (ip(7), ipv6(7))."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)


def _explain(error: OSError, address: str, stream: Stream) -> Conflict:
    where = f"{stream} of {address}"
    if error.errno == errno.EADDRINUSE:
        flags = "-ltnp" if stream.protocol == "tcp" else "-lunp"
        return Conflict(
            f"cannot listen on {where}: another program has this port",
            hint=f"see which one with `ss {flags} 'sport = :{stream.port}'`, or choose another port in app.toml",
            code="port.in_use",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Conflict(
            f"cannot listen on {where}: minipaas may not open ports below 1024 here",
            hint=f"run it as root, or `sysctl net.ipv4.ip_unprivileged_port_start={stream.port}`, or choose a port"
            " from 1024 up in app.toml: { listen = PORT, port = " + str(stream.port) + " }",
            code="port.not_permitted",
        )
    reason = "this box has no such address" if error.errno == errno.EADDRNOTAVAIL else error.strerror or str(error)
    return Conflict(
        f"cannot listen on {where}: {reason}",
        hint="check ingress.streams in config.toml; `ip address` lists the addresses of this box",
        code="port.address",
    )

"""Public sockets: bound all or none, with an error that says what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from minipaas.model.errors import MinipaasError


def bind(listen: Sequence[tuple[str, int]], backlog: int) -> list[socket.socket]:
    """Sockets that listen on these (IP address, port) pairs; port 0 is any free one. Raises MinipaasError, and then
    none is left open."""
    bound: list[socket.socket] = []
    try:
        for address, port in listen:
            bound.append(_bind(address, port, backlog))
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(address: str, port: int, backlog: int) -> socket.socket:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; uvloop always does.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            # 0.0.0.0 and [::] are two listeners, and every IPv4 client has an IPv4 address.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _explain(error, where, port) from error
    return sock


def _explain(error: OSError, where: str, port: int) -> MinipaasError:
    if error.errno == errno.EADDRINUSE:
        return MinipaasError(
            f"cannot listen on {where}: another program has this port",
            hint=f"see which one with `ss -ltnp 'sport = :{port}'`, or set another port under [ingress] in config.toml",
            code="ingress.port_in_use",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return MinipaasError(
            f"cannot listen on {where}: this user may not open ports below 1024",
            hint="run as root, or `sysctl net.ipv4.ip_unprivileged_port_start=80`, or set a port from 1024 up",
            code="ingress.port_not_permitted",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return MinipaasError(
            f"cannot listen on {where}: this box has no such address",
            hint="list the addresses with `ip address`; 0.0.0.0 is every IPv4 address of this box",
            code="ingress.no_such_address",
        )
    reason = error.strerror or str(error)
    return MinipaasError(
        f"cannot listen on {where}: {reason}", hint="check [ingress] in config.toml", code="ingress.listen"
    )

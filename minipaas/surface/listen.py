"""The sockets that the API listens on: TCP, and the box's Unix socket, which is never reachable with wider rights than
its mode says; a stale one is replaced and a live one of another process is not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from minipaas.model.errors import Conflict, MinipaasError

SOCKET_MODE = 0o600
BACKLOG = 128


def tcp_socket(address: str, port: int) -> socket.socket:
    """A socket that listens there. Raises Conflict when the place is taken, MinipaasError when there is no such."""
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        one = socket.socket(family, kind, proto)
    except OSError as error:
        raise MinipaasError(f"cannot listen on {address}:{port}: {error.strerror or error}") from None
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(where)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise Conflict(
            f"cannot listen on {address}:{port}: {error.strerror}",
            hint="choose another address: [api] listen in config.toml",
            code="api.listen",
        ) from None
    return one


def unix_socket(path: Path) -> socket.socket:
    """Bind beside and rename, so that the path always is a socket with its final mode. The name may be longer than
    sockaddr_un takes: it is bound through its directory's descriptor."""
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise MinipaasError(f"cannot listen on {path}: {error.strerror}") from None
    fresh = f"{path.name}.{os.getpid()}"
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _refuse_live(f"/proc/self/fd/{directory}/{path.name}", path)
        path.with_name(fresh).unlink(missing_ok=True)
        one.bind(f"/proc/self/fd/{directory}/{fresh}")
        path.with_name(fresh).chmod(SOCKET_MODE)
        one.listen(BACKLOG)
        path.with_name(fresh).rename(path)
    except BaseException as error:
        one.close()
        path.with_name(fresh).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MinipaasError(f"cannot listen on {path}: {error.strerror}") from None
        raise
    finally:
        os.close(directory)
    return one


def _refuse_live(short: str, path: Path) -> None:
    """Somebody who answers there is another minipaas; whatever does not answer is stale."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(short)
        except OSError:
            return
    raise Conflict(
        f"cannot listen on {path}: another minipaas serves there",
        hint="stop it first, or give this one another --data",
        code="api.listen",
    )

"""The surface as a running thing: one application on the box's Unix socket and on TCP.

What always holds: the socket is never reachable with wider rights than its mode says, a stale one is replaced and a
live one of another process is not; closing ends event streams first, so that nobody waits for them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from minipaas.model.errors import Conflict, MinipaasError, Refused
from minipaas.surface.call import Context
from minipaas.surface.continuing import expect
from minipaas.surface.dispatch import door, endpoint, harden
from minipaas.surface.limits import LIMITS, Limits
from minipaas.surface.news import News
from minipaas.surface.ports import ControlPort
from minipaas.surface.table import TABLE

log = logging.getLogger("minipaas.surface")

SOCKET_MODE = 0o600
_BACKLOG = 128


def application(context: Context) -> web.Application:
    """The table as an aiohttp application."""
    app = web.Application(middlewares=[door(context)], client_max_size=context.limits.json_body)
    for row in TABLE:
        handler = endpoint(row, context)
        app.router.add_route(row.method, row.path, handler, expect_handler=expect)
        if row.method == "GET" and row.response != "text/event-stream":
            app.router.add_route("HEAD", row.path, handler, expect_handler=expect)
    app.on_response_prepare.append(harden)
    return app


class Surface:
    """API and status page. `start` once, `close` once."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._runner: web.AppRunner | None = None
        self._news: News | None = None
        self._socket_path: Path | None = None
        self._sockets: list[socket.socket] = []
        self.addresses: tuple[tuple[str, int], ...] = ()
        """Where TCP is bound, port 0 resolved."""

    async def start(
        self,
        control: ControlPort,
        socket_path: Path,
        listen: Sequence[tuple[str, int]],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Answer on the socket and on each (address, port). Raises Refused for the LAN without TLS, Conflict when a
        place is taken, MinipaasError when it cannot be listened on."""
        for address, port in listen:
            if tls is None and not _is_loopback(address):
                raise Refused(
                    f"cannot listen on {address}:{port}: beyond this machine the API needs TLS",
                    hint='keep [api] listen = ["127.0.0.1:7070"] and come in by: ssh -L 7070:127.0.0.1:7070 HOST',
                    code="api.lan",
                )
        try:
            await self._start(control, socket_path, listen, tls)
        except BaseException:
            await self.close()
            raise

    async def _start(
        self,
        control: ControlPort,
        socket_path: Path,
        listen: Sequence[tuple[str, int]],
        tls: ssl.SSLContext | None,
    ) -> None:
        for address, port in listen:
            self._sockets.append(_tcp_socket(address, port))
        self.addresses = tuple((one.getsockname()[0], one.getsockname()[1]) for one in self._sockets)
        self._news = News(control.registry, lambda: control.observed, self._limits)
        hosts = {address for address, _ in (*listen, *self.addresses)}
        context = Context(control, self._limits, self._news, self.addresses, frozenset(hosts))
        self._runner = web.AppRunner(
            application(context),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=75.0,
            shutdown_timeout=self._limits.shutdown,
            read_bufsize=self._limits.read_buffer,
        )
        await self._runner.setup()
        unix = _unix_socket(socket_path)
        self._socket_path = socket_path
        await web.SockSite(self._runner, unix, backlog=_BACKLOG).start()
        for one in self._sockets:
            await web.SockSite(self._runner, one, backlog=_BACKLOG, ssl_context=tls).start()

    async def close(self) -> None:
        """End event streams, give other requests `limits.shutdown` seconds. Also after a failed start."""
        if self._news is not None:
            self._news.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for one in self._sockets:
            one.close()
        if self._socket_path is not None:
            await asyncio.to_thread(self._socket_path.unlink, missing_ok=True)
            self._socket_path = None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _tcp_socket(address: str, port: int) -> socket.socket:
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
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        raise Conflict(
            f"cannot listen on {address}:{port}: {error.strerror}",
            hint="choose another address: [api] listen in config.toml",
            code="api.listen",
        ) from None
    return one


def _unix_socket(path: Path) -> socket.socket:
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
        one.listen(_BACKLOG)
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

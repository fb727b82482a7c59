"""The surface as a running thing: one application on the box's Unix socket and on TCP.

What always holds: closing ends event streams first, so that nobody waits for them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from minipaas.model.config import is_loopback
from minipaas.model.errors import Refused
from minipaas.surface import kept_sessions
from minipaas.surface.call import Context
from minipaas.surface.continuing import expect
from minipaas.surface.dispatch import door, endpoint, harden
from minipaas.surface.limits import LIMITS, Limits
from minipaas.surface.listen import BACKLOG, tcp_socket, unix_socket
from minipaas.surface.news import News
from minipaas.surface.ports import ControlPort
from minipaas.surface.sessions import Sessions
from minipaas.surface.table import TABLE
from minipaas.surface.websocket import leave
from minipaas.takeover.own import Own

log = logging.getLogger("minipaas.surface")


def application(context: Context) -> web.Application:
    """The table as an aiohttp application."""
    app = web.Application(middlewares=[door(context)], client_max_size=context.limits.json_body)
    for row in TABLE:
        handler = endpoint(row, context)
        app.router.add_route(row.method, row.path, handler, expect_handler=expect)
        if row.method == "GET" and row.response != "text/event-stream" and not row.websocket:
            app.router.add_route("HEAD", row.path, handler, expect_handler=expect)
    app.on_response_prepare.append(harden)

    async def goodbye(_: web.Application) -> None:
        await leave(context)

    app.on_shutdown.append(goodbye)
    return app


class Surface:
    """API and status page. `start` once, `close` once."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._runner: web.AppRunner | None = None
        self._news: News | None = None
        self._control: ControlPort | None = None
        self._socket_path: Path | None = None
        self._sockets: list[socket.socket] = []
        self._sessions: tuple[Path, Sessions] | None = None
        """Who is signed in, and the directory where that is kept for the next one."""
        self.addresses: tuple[tuple[str, int], ...] = ()
        """Where TCP is bound, port 0 resolved."""

    async def start(
        self,
        control: ControlPort,
        socket_path: Path,
        listen: Sequence[tuple[str, int]],
        tls: ssl.SSLContext | None = None,
        *,
        ready: Sequence[socket.socket] = (),
        own: Own | None = None,
    ) -> None:
        """Answer on the socket and on each (address, port), or on sockets that are `ready`, TCP or Unix: they listen
        already, and are closed at the end. A Unix one among them stands for `socket_path`. `tls` is spoken beyond
        loopback, and there alone. `own`: what can be done to minipaas itself. Raises Refused for the LAN without TLS,
        Conflict when a place is taken, MinipaasError when it cannot be listened on."""
        tcp = [one for one in ready if one.family != socket.AF_UNIX]
        for address, port in (*listen, *(one.getsockname()[:2] for one in tcp)):
            if tls is None and not is_loopback(address):
                raise Refused(
                    f"cannot listen on {address}:{port}: beyond this machine the API needs TLS",
                    hint="name this address in [api] listen of config.toml, and it gets TLS; or come in by SSH: "
                    "ssh -L 7070:127.0.0.1:7070 HOST",
                    code="api.lan",
                )
        try:
            await self._start(control, socket_path, listen, tls, ready, own)
        except BaseException:
            await self.close()
            raise

    async def _start(
        self,
        control: ControlPort,
        socket_path: Path,
        listen: Sequence[tuple[str, int]],
        tls: ssl.SSLContext | None,
        ready: Sequence[socket.socket],
        own: Own | None,
    ) -> None:
        self._control = control
        self._sockets = [*ready]
        for address, port in listen:
            self._sockets.append(tcp_socket(address, port))
        tcp = [one for one in self._sockets if one.family != socket.AF_UNIX]
        self.addresses = tuple((one.getsockname()[0], one.getsockname()[1]) for one in tcp)
        self._news = News(
            control.registry, lambda: control.observed, self._limits, lambda: control.access.leases.version
        )
        hosts = {address for address, _ in (*listen, *self.addresses)} | set(control.config.api.names)
        context = Context(control, self._limits, self._news, self.addresses, frozenset(hosts), own)
        context.sessions.restore(await asyncio.to_thread(kept_sessions.take, socket_path.parent))
        self._sessions = (socket_path.parent, context.sessions)
        self._runner = web.AppRunner(
            application(context),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=75.0,
            shutdown_timeout=self._limits.shutdown,
            read_bufsize=self._limits.read_buffer,
        )
        await self._runner.setup()
        if len(tcp) == len(self._sockets):
            self._sockets.append(unix_socket(socket_path))
            self._socket_path = socket_path
        for one in self._sockets:
            secure = None if one.family == socket.AF_UNIX or is_loopback(one.getsockname()[0]) else tls
            await web.SockSite(self._runner, one, backlog=BACKLOG, ssl_context=secure).start()

    async def close(self) -> None:
        """End event streams and accesses to instances, give other requests `limits.shutdown` seconds. Also after a
        failed start."""
        if self._news is not None:
            self._news.close()
        if self._control is not None:
            self._control.access.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._sessions is not None:
            directory, sessions = self._sessions
            await asyncio.to_thread(kept_sessions.put, directory, sessions.all())
            self._sessions = None
        for one in self._sockets:
            one.close()
        if self._socket_path is not None:
            await asyncio.to_thread(self._socket_path.unlink, missing_ok=True)
            self._socket_path = None

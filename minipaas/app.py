"""The composition root: the only module that wires every room. `serve` is one running box, from lock to last drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from minipaas.control.control import Control
from minipaas.control.lock import DataLock
from minipaas.engine.engine import Engine
from minipaas.engine.socket import OwnService, find_socket
from minipaas.ingress.ingress import Ingress
from minipaas.model.config import Config, parse_listen
from minipaas.model.errors import MinipaasError
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.surface.distribution import Distribution
from minipaas.surface.server import Surface

log = logging.getLogger("minipaas")

DRAIN = 10.0
"""Seconds that requests under way may take when the box stops."""
FIRST_LOOK = 2.0
"""Seconds that the first look and the first probes may delay the ingress, so that it opens with its routes in place."""
DESCRIPTORS = 65536
"""Descriptors that the box asks for, where it may have as many."""
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104


def serve(config: Config, data: Path) -> int:
    """Run the box until SIGTERM or SIGINT. Returns the exit code. Raises MinipaasError when it cannot start."""
    import uvloop

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    lock = DataLock(data)
    _raise_descriptor_limit()
    try:
        uvloop.run(_serve(config, data))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        lock.release()
    return 0


def _raise_descriptor_limit() -> None:
    """The usual soft limit of 1024 is for programs that use select(2); a proxy needs two descriptors a request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(config: Config, data: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with box(config, data) as (control, surface):
        for address, port in control.ingress.addresses:
            log.info("apps   http://%s:%d", reachable(address), port)
        for address, port in surface.addresses:
            log.info("page   http://%s:%d", reachable(address), port)
        log.info("socket %s", data / "minipaas.sock")
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        log.info("stopping; the apps keep running")


@contextlib.asynccontextmanager
async def box(config: Config, data: Path) -> AsyncIterator[tuple[Control, Surface]]:
    """A box with every room started, each after what it needs, and stopped in the reverse order."""
    async with contextlib.AsyncExitStack() as stack:
        blobs = BlobStore(data)
        blobs.clear_staging()
        registry = Registry.open(data / "registry.db", on_full=blobs.ballast.release)
        stack.push_async_callback(registry.close)
        news = _News()
        socket_path = find_socket(config.podman.socket)
        if socket_path is None:
            service = OwnService(data, on_restart=news)
            stack.push_async_callback(service.stop)
            socket_path = await service.start()
        engine = await Engine.connect(socket_path, data=data, box=registry.box_id, on_news=news)
        stack.push_async_callback(engine.close)
        distribution = Distribution(blobs)
        await distribution.start()
        stack.push_async_callback(distribution.close)
        ingress = Ingress()
        stack.push_async_callback(ingress.close, DRAIN)
        control = Control(
            registry=registry,
            blobs=blobs,
            engine=engine,
            ingress=ingress,
            images=distribution,
            config=config,
            data=data,
        )
        stack.callback(control.close)
        news.listener = control
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = group.create_task(control.run(), name="control")
        stack.callback(running.cancel)
        await control.first_look(FIRST_LOOK)
        await _open(ingress, config)
        surface = Surface()
        await surface.start(control, data / "minipaas.sock", [parse_listen(one) for one in config.api.listen])
        stack.push_async_callback(surface.close)
        yield control, surface


class _News:
    """Podman's news, passed on to a control that is made after the engine."""

    listener: Control | None = None

    def __call__(self) -> None:
        if self.listener is not None:
            self.listener.wake()


async def _open(ingress: Ingress, config: Config) -> None:
    """Listen where the operator said; else on port 80 where that is allowed and free, else on 8080."""
    if config.ingress.http:
        await ingress.start([parse_listen(one) for one in config.ingress.http])
        return
    try:
        await ingress.start([(ANYWHERE[0], 80)])
    except MinipaasError as error:
        log.info("%s; using port 8080 instead", error.message)
        await ingress.start([(ANYWHERE[0], 8080)])


def reachable(address: str) -> str:
    """A host name for a URL that a person on this box can click."""
    return "127.0.0.1" if address in ANYWHERE else address


def notify(state: str) -> None:
    """Tell the service manager (sd_notify(3)), if there is one that listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + path[1:] if path.startswith("@") else path)
            channel.send(state.encode())


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a person should read: ours if there is one."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, MinipaasError)), leaves[0])

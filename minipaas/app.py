"""The composition root: the only module that wires every room. `serve` is one running box, from lock to last drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.certs.acme import Acme
from minipaas.certs.keeper import Keeper
from minipaas.control.clock import clock_synced, trusted_time
from minipaas.control.control import Control
from minipaas.control.lock import DataLock
from minipaas.engine.engine import Engine
from minipaas.engine.socket import OwnService, find_socket
from minipaas.ingress.accesslog import AccessLog
from minipaas.ingress.ingress import Ingress, TlsDoor
from minipaas.ingress.limits import Limits as IngressLimits
from minipaas.ingress.listen import bind
from minipaas.ingress.origin import Proxies
from minipaas.model.certificate import normal_name
from minipaas.model.config import Config, IngressConfig, TlsConfig, is_loopback, parse_listen, parse_network
from minipaas.model.errors import MinipaasError
from minipaas.model.release import TrustedTime
from minipaas.model.route import Route
from minipaas.process import ripen, settle
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.surface.distribution import Distribution
from minipaas.surface.listen import tcp_socket, unix_socket
from minipaas.surface.server import Surface
from minipaas.surface.watch import Watch
from minipaas.takeover.becoming import Becomes, become
from minipaas.takeover.heir_life import HeirLife
from minipaas.takeover.inheritance import Inheritance, Role
from minipaas.takeover.listeners import STREAMS, Listeners, StreamDoors
from minipaas.takeover.main_life import MainLife
from minipaas.takeover.own import Own
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from minipaas.telemetry.shipping.shipping import Shipping

log = logging.getLogger("minipaas")

DRAIN = 10.0
"""Seconds that requests under way may take when the box stops."""
LAST_WORD = 0.01
"""Seconds for a signal to be heard that came just before the process becomes another program."""
FIRST_LOOK = 2.0
"""Seconds that the first look and the first probes may delay the ingress, so that it opens with its routes in place."""
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104
SOCKET = "minipaas.sock"
DOORS = {"http": ("0.0.0.0:80", "0.0.0.0:8080"), "https": ("0.0.0.0:443", "0.0.0.0:8443")}
"""Where apps answer when the operator did not say: the second where the first is taken or not allowed."""


def serve(config: Config, data: Path) -> int:
    """Run the box until SIGTERM or SIGINT. Returns the exit code. Raises MinipaasError when it cannot start. After a
    hand-over it does not return: this process goes on as the new program."""
    import uvloop

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    started_with = dict(os.environ)
    inheritance = Inheritance.take(os.environ)
    lock = DataLock(data, inheritance.lock)
    listeners = Listeners(inheritance.held)
    own = Own(data, config.upgrade)
    settle()
    becomes: Becomes | None = None
    try:
        if inheritance.channel is None and (before := own.recover(started_with, inheritance.held)) is not None:
            lock.release()
            become(before)
        becomes = uvloop.run(_serve(config, data, inheritance, listeners, lock, own))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        if becomes is None:
            if inheritance.role is Role.MAIN and not listeners.given("unix"):
                (data / SOCKET).unlink(missing_ok=True)
            listeners.close()
            lock.release()
    if becomes is not None:
        become(becomes)
    return 0


async def _serve(
    config: Config, data: Path, inheritance: Inheritance, listeners: Listeners, lock: DataLock, own: Own
) -> Becomes | None:
    loop = asyncio.get_running_loop()

    @contextlib.asynccontextmanager
    async def heart(ingress: Ingress, listeners: Listeners, patience: float) -> AsyncIterator[Own]:
        async with box(config, data, listeners, ingress=ingress, patience=patience, own=own) as (control, surface):
            ripen()
            loop.add_signal_handler(signal.SIGHUP, control.reread)
            _tell_where(control, surface, data)
            try:
                yield own
            finally:
                own.closed()
                loop.add_signal_handler(signal.SIGHUP, lambda: None)  # without a box: nothing to read anew

    life = (MainLife if inheritance.role is Role.MAIN else HeirLife)(
        inheritance,
        listeners=listeners,
        lock=lock.descriptor,
        settings=config.upgrade,
        first_look=FIRST_LOOK,
        drain=DRAIN,
        open_heart=heart,
        arguments=tuple(sys.argv[1:]),
    )
    own.begin(life)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.stop)
    loop.add_signal_handler(signal.SIGUSR2, own.reload_on_signal)
    becomes = await life.run()
    if becomes is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # nobody is left to hear it: now it simply ends this process
        await asyncio.sleep(LAST_WORD)
    return None if life.stopping else becomes


def _tell_where(control: Control, surface: Surface, data: Path) -> None:
    for address, port in control.ingress.addresses:
        log.info("apps   http://%s:%d", reachable(address), port)
    for address, port in control.ingress.secure:
        log.info("apps   https://%s:%d", reachable(address), port)
    for address, port in surface.addresses:
        log.info("page   %s://%s:%d", "http" if is_loopback(address) else "https", reachable(address), port)
    log.info("socket %s", data / SOCKET)


@contextlib.asynccontextmanager
async def box(
    config: Config,
    data: Path,
    listeners: Listeners | None = None,
    *,
    ingress: Ingress | None = None,
    patience: float = FIRST_LOOK,
    own: Own | None = None,
) -> AsyncIterator[tuple[Control, Surface]]:
    """A box with every room started, each after what it needs, and stopped in the reverse order. It listens on what
    `listeners` hold, and binds the rest. An `ingress` that is given, and `listeners`, live on afterwards. `patience`:
    seconds that the first look may take. `own`: what can be done to minipaas itself."""
    async with contextlib.AsyncExitStack() as stack:
        if listeners is None:
            listeners = Listeners()
            stack.callback(listeners.close)
        blobs = BlobStore(data)
        blobs.clear_staging()
        registry = Registry.open(data / "registry.db", on_full=blobs.ballast.release)
        stack.push_async_callback(registry.close)
        news = _News()
        engine = await _engine(config, data, registry.box_id, news, stack)
        distribution = Distribution(blobs)
        await distribution.start()
        stack.push_async_callback(distribution.close)
        certificates = await _certificates(config, data, registry)
        telemetry, logs = Telemetry(data), Logs(data, config.logs)
        stack.push_async_callback(telemetry.close)
        stack.push_async_callback(logs.close)
        if ingress is None:
            ingress = Ingress()
            stack.push_async_callback(ingress.close, DRAIN)
        ingress.streams.attach(StreamDoors(listeners, config.ingress.stream_addresses), news)
        telemetry.count_traffic(ingress.counters)
        control = Control(
            registry=registry,
            blobs=blobs,
            engine=engine,
            ingress=ingress,
            images=distribution,
            config=config,
            data=data,
            telemetry=telemetry,
            logs=logs,
            certificates=certificates,
            shipping=_shipping(config, data, logs, registry),
            on_look=Watch(telemetry),
        )
        stack.callback(control.close)
        news.listener = control
        group = await stack.enter_async_context(asyncio.TaskGroup())
        _begin(control, group, stack)
        await control.first_look(patience)
        await ingress.start(
            (),
            ready=_doors(listeners, "http", config.ingress.http),
            tls=_tls_door(listeners, config, certificates),
            proxies=Proxies([parse_network(one) for one in config.ingress.trusted_proxies]),
            access_log=_access_log(config.ingress, data),
        )
        _fetch_certificates(certificates, control, group, stack)
        letting_go = _let_go_of_streams(control, listeners)
        stack.callback(group.create_task(letting_go, name="streams of before").cancel)
        surface = Surface()
        stack.push_async_callback(surface.close)
        sockets = _desks(listeners, config, data)
        if own is not None:
            await own.serves(control)
        tls = _api_tls(config, certificates)
        await surface.start(control, data / SOCKET, (), tls, ready=sockets, own=own)
        yield control, surface


async def _engine(
    config: Config, data: Path, box_id: str, news: Callable[[], None], stack: contextlib.AsyncExitStack
) -> Engine:
    """Podman: the service that is there, else one of our own."""
    socket_path = find_socket(config.podman.socket)
    if socket_path is None:
        service = OwnService(data, on_restart=news)
        stack.push_async_callback(service.stop)
        socket_path = await service.start()
    engine = await Engine.connect(socket_path, data=data, box=box_id, on_news=news)
    stack.push_async_callback(engine.close)
    return engine


def _shipping(config: Config, data: Path, logs: Logs, registry: Registry) -> Shipping | None:
    """Where lines are sent too; None: nowhere."""
    if not config.logs.ship:
        return None
    from minipaas.telemetry.shipping.shipping import Shipping

    return Shipping(data, config.logs.ship, logs, registry.box_id, clock_synced)


def _begin(control: Control, group: asyncio.TaskGroup, stack: contextlib.AsyncExitStack) -> None:
    """Look after the apps and their certificates, and send logs on when the operator wants that."""
    stack.callback(group.create_task(control.run(), name="control").cancel)
    if control.shipping is not None:
        stack.callback(group.create_task(control.shipping.run(), name="shipping").cancel)
        stack.push_async_callback(control.shipping.close)
    if control.certificates is not None:
        control.certificates.routed = lambda: {entry.route.host for entry in control.ingress.routes()}
        stack.callback(group.create_task(control.certificates.run(), name="certificates").cancel)


async def _certificates(config: Config, data: Path, registry: Registry) -> Keeper | None:
    """The certificates of this box, when anything here speaks TLS."""
    if not config.tls_on and all(is_loopback(parse_listen(one)[0]) for one in config.api.listen):
        return None

    async def clock() -> TrustedTime:
        return trusted_time(await registry.time_floor())

    tls = config.tls or TlsConfig()
    own = [(Path(one.cert), Path(one.key or one.cert)) for one in tls.certificate]
    keeper = await Keeper.open(data / "tls", registry.box_id, own, clock)
    keeper.names = tuple(normal for name in tls.names if (normal := normal_name(name)) is not None)
    if tls.acme is not None:
        keeper.acme = acme = Acme(data / "tls/acme", tls.acme, clock)
        acme.routed = lambda: keeper.routed()  # noqa: PLW0108 - the keeper gets its own later
        acme.changed = keeper.fetched
        await asyncio.to_thread(acme.load)
    return keeper


def _fetch_certificates(
    certificates: Keeper | None, control: Control, group: asyncio.TaskGroup, stack: contextlib.AsyncExitStack
) -> None:
    """From an ACME server, when the operator wants that; the ingress has to listen, for it shows the proofs."""
    if certificates is not None and certificates.acme is not None:
        certificates.acme.publish = control.ingress.challenge
        stack.callback(group.create_task(certificates.acme.run(), name="acme").cancel)


async def _let_go_of_streams(control: Control, listeners: Listeners) -> None:
    """Of ports that a process before had open, and that no app wants any more."""
    await control.routed()
    listeners.keep_used(STREAMS)


class _News:
    """Podman's news, passed on to a control that is made after the engine."""

    listener: Control | None = None

    def __call__(self) -> None:
        if self.listener is not None:
            self.listener.wake()


def _doors(listeners: Listeners, kind: str, wanted: Sequence[str]) -> list[socket.socket]:
    """Where the ingress listens: where the operator said, else at the usual port, else at the other one."""

    def bind_one(text: str) -> socket.socket:
        return bind([parse_listen(text)], IngressLimits().backlog)[0]

    if wanted or listeners.given(kind):
        return listeners.open(kind, wanted, bind_one)
    usual, other = DOORS[kind]
    if not listeners.has(kind, other):
        try:
            return listeners.open(kind, [usual], bind_one)
        except MinipaasError as error:
            log.info("%s; using port %s instead", error.message, other.rpartition(":")[2])
    return listeners.open(kind, [other], bind_one)


def _access_log(ingress: IngressConfig, data: Path) -> AccessLog | None:
    """Where requests are told; None: nowhere."""
    if not ingress.access_log:
        return None
    return AccessLog(
        None if ingress.access_log == "stdout" else data / ingress.access_log,
        sample=ingress.access_log_sample,
        size=ingress.access_log_size,
        keep=ingress.access_log_keep,
        query=ingress.access_log_query,
    )


def _desks(listeners: Listeners, config: Config, data: Path) -> list[socket.socket]:
    """Where the API listens. It comes last: of what came with the process, the configuration names no more."""
    sockets = listeners.open("unix", [str(data / SOCKET)], lambda path: unix_socket(Path(path)))
    sockets += listeners.open("api", config.api.listen, lambda text: tcp_socket(*parse_listen(text)))
    listeners.keep_used()
    return sockets


def _tls_door(listeners: Listeners, config: Config, certificates: Keeper | None) -> TlsDoor | None:
    """Where and how apps answer with TLS; None: they don't."""
    if certificates is None or not config.tls_on:
        return None
    tls = config.tls or TlsConfig()
    return TlsDoor(
        certificates=certificates,
        ready=_doors(listeners, "https", config.ingress.https),
        redirect=tls.redirect,
        plain=frozenset(Route.parse(host).host for host in tls.plain),
        hsts=int(tls.hsts),
    )


def _api_tls(config: Config, certificates: Keeper | None) -> ssl.SSLContext | None:
    """How the API speaks beyond this machine; None: it doesn't."""
    if certificates is None:
        return None
    api = config.api
    beyond = [address for address, _ in map(parse_listen, api.listen) if not is_loopback(address)]
    if not beyond:
        return None
    own = (Path(api.cert), Path(api.key or api.cert)) if api.cert else None
    return certificates.listener(lambda: (*api.names, *(one for text in beyond for one in local_addresses(text))), own)


def local_addresses(listen: str) -> list[str]:
    """The addresses of this box that a listener answers at now; DHCP may change them."""
    if listen not in ANYWHERE:
        return [listen]
    import psutil

    family = socket.AF_INET if listen == ANYWHERE[0] else socket.AF_INET6
    found = {one.address for many in psutil.net_if_addrs().values() for one in many if one.family == family}
    return sorted(address for address in found if "%" not in address)


def reachable(address: str) -> str:
    """A host name for a URL that a person on this box can click."""
    return "127.0.0.1" if address in ANYWHERE else address


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

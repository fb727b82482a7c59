"""Health probes: one held task an instance, raw asyncio connections, no client library in the way.

What always holds: an instance is probed only while it runs and is wanted; a new start time begins anew; the moments of
many instances are spread; at most `limits.PROBES_AT_ONCE` probes are under way. `on_news` is called when a state
changes, never for a detail. Only monotonic time counts: a container that already ran when minipaas came has its grace
counted from then.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from minipaas.engine import limits
from minipaas.engine.health import Tracker
from minipaas.model.capsule import Probe
from minipaas.model.errors import EngineError
from minipaas.model.observed import HealthState, Instance
from minipaas.model.route import Backend
from minipaas.model.spec import Health

log = logging.getLogger(__name__)


class ProbeResult(NamedTuple):
    """`detail` is for people: `GET /healthz: 503`."""

    ok: bool
    detail: str


Command = Callable[[str, tuple[str, ...], float], Awaitable[ProbeResult]]
"""Run a command in the container with this container, for at most so many seconds."""


class _Key(NamedTuple):
    """What makes a run of an instance and the way it is asked; another key begins anew."""

    started: float | None
    backend: Backend | None
    health: Health | None


class _Watch:
    def __init__(self, instance: Instance, key: _Key, now: float) -> None:
        self.instance = instance
        self.key = key
        # Nobody can ask a service without a check: it is watched only for staying up a moment.
        self.tracker = Tracker(key.health or Health(tcp=True), now)
        self.probes: deque[Probe] = deque(maxlen=limits.PROBES_KEPT)
        self.task: asyncio.Task[None] | None = None


class Prober:
    """Knows the health of running instances. All methods belong to the event loop."""

    def __init__(self, on_news: Callable[[], None], run_command: Command) -> None:
        self._on_news = on_news
        self._run_command = run_command
        self._wanted: dict[str, Health | None] = {}
        self._running: dict[str, Instance] = {}
        self._watches: dict[str, _Watch] = {}
        self._past: OrderedDict[str, tuple[Probe, ...]] = OrderedDict()
        """The checks of instances that are watched no more."""
        self._ending: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(limits.PROBES_AT_ONCE)
        self._spread = random.Random()  # noqa: S311

    def watch(self, wanted: Mapping[str, Health | None]) -> None:
        """Replace who is probed and how; None: nobody can ask, so running for a while is healthy."""
        self._wanted = dict(wanted)
        self._settle()

    def see(self, running: Mapping[str, Instance]) -> None:
        """Replace what is known to run, by container id."""
        self._running = dict(running)
        self._settle()

    def forget(self, instance: str) -> None:
        """This container is started or stopped: what was known of it is past."""
        self._running.pop(instance, None)
        self._drop(instance)

    def health(self, instance: str) -> tuple[HealthState, str]:
        """State and the last probe's result."""
        watch = self._watches.get(instance)
        return (watch.tracker.state, watch.tracker.detail) if watch else (HealthState.UNKNOWN, "")

    def probes(self, instance: str) -> tuple[Probe, ...]:
        """Its last checks, the oldest first; also of one that has just ended."""
        watch = self._watches.get(instance)
        return tuple(watch.probes) if watch else self._past.get(instance, ())

    async def close(self) -> None:
        """End all probes."""
        for instance in list(self._watches):
            self._drop(instance)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _settle(self) -> None:
        for container in list(self._watches):
            if container not in self._wanted or container not in self._running:
                self._drop(container)
        for container, health in self._wanted.items():
            instance = self._running.get(container)
            if instance is None:
                continue
            key = _Key(instance.started, instance.backend, health)
            known = self._watches.get(container)
            if known is None or known.key != key:
                self._drop(container)
                self._begin(instance, key)

    def _begin(self, instance: Instance, key: _Key) -> None:
        watch = _Watch(instance, key, asyncio.get_running_loop().time())
        self._watches[instance.id] = watch
        watch.task = asyncio.create_task(self._probe_for_ever(watch), name=f"probe {instance.name}")
        self._ending.add(watch.task)
        watch.task.add_done_callback(self._ended)

    def _drop(self, instance: str) -> None:
        watch = self._watches.pop(instance, None)
        if watch is None:
            return
        if watch.probes:
            self._past[instance] = tuple(watch.probes)
            if len(self._past) > limits.PROBES_PAST:
                self._past.popitem(last=False)
        if watch.task is not None:
            watch.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=error)

    async def _probe_for_ever(self, watch: _Watch) -> None:
        tracker = watch.tracker
        if watch.key.health is None:
            await asyncio.sleep(limits.SETTLE)
            if tracker.succeed("running; there is no check"):
                self._on_news()
            return
        loop = asyncio.get_running_loop()
        while True:
            pause = tracker.pause()
            await asyncio.sleep(pause * self._spread.uniform(1 - limits.JITTER, 1 + limits.JITTER))
            async with self._turn:
                result = await self._probe(watch.instance, tracker.health)
            watch.probes.append(Probe(time.time(), result.ok, result.detail))
            changed = tracker.succeed(result.detail) if result.ok else tracker.fail(result.detail, loop.time())
            if changed:
                self._on_news()

    async def _probe(self, instance: Instance, health: Health) -> ProbeResult:
        if health.command is not None:
            try:
                return await self._run_command(instance.id, health.command, health.timeout)
            except EngineError as error:
                return ProbeResult(False, error.message)
        backend = instance.backend
        if backend is None:
            return ProbeResult(False, "its port is not published")
        if health.http is not None:
            return await probe_http(backend.host, backend.port, instance.service, health.http, health.timeout)
        return await probe_tcp(backend.host, backend.port, health.timeout)


async def probe_http(host: str, port: int, name: str, path: str, timeout: float) -> ProbeResult:  # noqa: ASYNC109
    """GET with `Host: name`; 2xx and 3xx are good. `timeout` covers everything up to the status line (RFC 9112)."""
    what = f"GET {path}"
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, limit=limits.MAX_PROBE_HEAD)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: minipaas-probe\r\n"
                    "Accept: */*\r\nConnection: close\r\n\r\n".encode()
                )
                line = await reader.readline()
            finally:
                _hang_up(writer)
    except TimeoutError:
        return ProbeResult(False, f"{what}: no answer within {timeout:g} s")
    except ValueError:
        return ProbeResult(False, f"{what}: not an HTTP answer")
    except OSError as error:
        return ProbeResult(False, f"{what}: {_reason(error)}")
    words = line.split(None, 2)
    if not line:
        return ProbeResult(False, f"{what}: connection closed without an answer")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return ProbeResult(False, f"{what}: not an HTTP answer")
    status = int(words[1])
    return ProbeResult(200 <= status < 400, f"{what}: {status}")


async def probe_tcp(host: str, port: int, timeout: float) -> ProbeResult:  # noqa: ASYNC109
    """Connect, and look for a moment whether it lasts: rootless port forwarders accept and then close."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return ProbeResult(False, f"TCP: no connection within {timeout:g} s")
    except OSError as error:
        return ProbeResult(False, f"TCP: {_reason(error)}")
    try:
        async with asyncio.timeout(limits.TCP_LOOK):
            banner = await reader.read(1)
    except TimeoutError:
        return ProbeResult(True, "TCP: connected")
    except OSError as error:
        return ProbeResult(False, f"TCP: {_reason(error)}")
    finally:
        _hang_up(writer)
    return ProbeResult(True, "TCP: connected") if banner else ProbeResult(False, "TCP: closed at once")


def _hang_up(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    transport.abort()  # nothing left to say; no wait for the peer


def _reason(error: OSError) -> str:
    names: dict[type[OSError], str] = {
        ConnectionRefusedError: "connection refused",
        ConnectionResetError: "connection reset",
        BrokenPipeError: "connection reset",
    }
    return names.get(type(error), error.strerror or str(error) or type(error).__name__)

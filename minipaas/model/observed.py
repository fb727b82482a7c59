"""What is there: containers, networks, volumes, images and routes, as last looked at."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from minipaas.model.route import Backend, RouteEntry
from minipaas.model.stream import Stream, StreamEntry


class InstanceState(StrEnum):
    """Podman's many words in five."""

    CREATED = "created"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    UNKNOWN = "unknown"
    """Paused, being removed, or a word we do not know: left alone."""


class HealthState(StrEnum):
    """What the probes say."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    """Not running, or not looked at yet."""


class Instance(Struct, frozen=True, kw_only=True):
    """One container of a service, dead or alive. Times are Unix seconds by Podman's clock."""

    id: str
    name: str
    app: str
    service: str
    release: str
    fingerprint: str
    slot: int
    generation: int
    attempt: int
    change: int = 0
    """The change that it was started in; 0: in none. Tells a rollout's own failures from older ones without a clock."""
    state: InstanceState
    health: HealthState = HealthState.UNKNOWN
    health_detail: str = ""
    """The last probe's result, for people: `GET /healthz: 503`."""
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    backend: Backend | None = None
    inside: dict[str, Backend] = {}
    """By port inside, like `514/udp`, where it can be reached on this host."""

    @property
    def running(self) -> bool:
        return self.state is InstanceState.RUNNING

    @property
    def healthy(self) -> bool:
        return self.running and self.health is HealthState.HEALTHY


class Hook(Struct, frozen=True, kw_only=True):
    """The container of a release hook, running or not."""

    id: str
    name: str
    app: str
    service: str
    change: int


class Note(Struct, frozen=True, kw_only=True):
    """What the box itself remembers of a container, because Podman cannot know it."""

    boot: str = ""
    """The kernel's boot id when minipaas last started it."""
    stopped: str = ""
    """Why minipaas stopped it; empty: nobody did, so an exit is a failure."""


class Observed(Struct, frozen=True, kw_only=True, dict=True):
    """One look at the world."""

    boot: str
    instances: tuple[Instance, ...] = ()
    hooks: tuple[Hook, ...] = ()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    """Image ids, `sha256:<hex>`."""
    routes: tuple[RouteEntry, ...] = ()
    streams: tuple[StreamEntry, ...] = ()
    closed: dict[Stream, str] = {}
    """Of these streams the port could not be opened, and why."""
    proven: frozenset[str] = frozenset()
    """Container ids that have answered a request through the ingress since they started."""
    notes: dict[str, Note] = {}
    """By container id."""

    def of(self, app: str) -> tuple[Instance, ...]:
        """The instances of one app."""
        return self._by_app.get(app, ())

    def routes_of(self, app: str) -> tuple[RouteEntry, ...]:
        """The routes of one app."""
        return self._routes_by_app.get(app, ())

    def streams_of(self, app: str) -> tuple[StreamEntry, ...]:
        """The streams of one app."""
        return tuple(entry for entry in self.streams if entry.app == app)

    @cached_property
    def _by_app(self) -> dict[str, tuple[Instance, ...]]:
        found: dict[str, list[Instance]] = {}
        for instance in self.instances:
            found.setdefault(instance.app, []).append(instance)
        return {app: tuple(instances) for app, instances in found.items()}

    @cached_property
    def _routes_by_app(self) -> dict[str, tuple[RouteEntry, ...]]:
        found: dict[str, list[RouteEntry]] = {}
        for entry in self.routes:
            found.setdefault(entry.app, []).append(entry)
        return {app: tuple(entries) for app, entries in found.items()}

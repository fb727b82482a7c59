"""`app.toml`: what an author asks for. Every default here is the hardened one.

Names are DNS labels, because services resolve each other by name. What always holds of an `AppSpec` that exists:
names are valid, every service has exactly one source for its image, `depends_on` names services of the same app and
has no cycle, routes and probes have the port they need, no port of the box is asked for twice, volume names hold no
path.
"""

from __future__ import annotations

import re
import tomllib
from graphlib import CycleError, TopologicalSorter

from msgspec import UNSET, Struct, UnsetType, field

from minipaas.model.errors import Invalid
from minipaas.model.route import Route, RouteOptions
from minipaas.model.stream import MAX_STREAMS, Mouth, Stream, StreamSpecs, mouths
from minipaas.model.typed import convert
from minipaas.model.units import Duration, Size

NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
RESERVED = "minipaas"
"""The name of no app: bundles of minipaas itself have it."""
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
VOLUME = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62})")
ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CAPABILITY = re.compile(r"(CAP_)?[A-Z_]{2,40}")
PUBLISHED = re.compile(r"(?:(\d{1,3}(?:\.\d{1,3}){3}):)?(\d{1,5}):(\d{1,5})(?:/(tcp|udp))?")

MAX_APP_TOML = 256 * 1024
MAX_SERVICES = 64
MAX_REPLICAS = 64
MAX_IN_FLIGHT = 65536
MAX_QUEUE = 10_000
MAX_WAIT = 600.0
"""Seconds that a request may be kept waiting in the ingress."""
MAX_FIRST_BYTE = 86_400.0


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to ask an instance whether it is well: one of `http` (a path), `tcp` (true), `command` (exit code 0)."""

    http: str | None = None
    tcp: bool = False
    command: tuple[str, ...] | None = None
    interval: Duration = Duration(10)
    timeout: Duration = Duration(3)
    grace: Duration = Duration(60)
    """Failures before the first success do not count for this long after the start."""
    retries: int = 3
    """So many failures in a row make a healthy instance unhealthy."""

    def __post_init__(self) -> None:
        ways = (self.http is not None) + self.tcp + (self.command is not None)
        if ways != 1:
            raise ValueError("give exactly one of http, tcp and command")
        if self.http is not None and not self.http.startswith("/"):
            raise ValueError("http must be a path that starts with /")
        if self.command is not None and not self.command:
            raise ValueError("command must not be empty")
        if self.interval < 0.1 or self.timeout <= 0:
            raise ValueError("interval must be at least 100ms and timeout above 0")
        if not 1 <= self.retries <= 100:
            raise ValueError("retries must be 1 to 100")


class Hooks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands run in a service's image, with its environment, network and volumes."""

    release: tuple[str, ...] | None = None
    """Once per release, before any switch; a failure stops the rollout."""
    timeout: Duration = Duration(300)


class IngressSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[services.NAME.ingress]`: how the ingress treats requests to the service's routes."""

    max_body: Size | None = None
    max_in_flight: int | None = None
    """An instance."""
    queue: int | None = None
    queue_timeout: Duration | None = None
    max_per_client: int | None = None
    first_byte: Duration | None = None
    hold: Duration = Duration(60)
    sticky: bool = False

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "max_per_client"):
            most = getattr(self, name)
            if most is not None and not 1 <= most <= MAX_IN_FLIGHT:
                raise ValueError(f"{name} must be 1 to {MAX_IN_FLIGHT}")
        if self.max_in_flight is None and (self.queue is not None or self.queue_timeout is not None):
            raise ValueError("queue and queue_timeout need max_in_flight: without it nothing waits")
        if self.queue is not None and not 0 <= self.queue <= MAX_QUEUE:
            raise ValueError(f"queue must be 0 to {MAX_QUEUE}")
        if self.queue_timeout is not None and not 0.5 <= self.queue_timeout <= MAX_WAIT:
            raise ValueError("queue_timeout must be 500ms to 10m")
        if self.max_body is not None and self.max_body < 1:
            raise ValueError("max_body must be at least 1 byte")
        if self.first_byte is not None and not 1 <= self.first_byte <= MAX_FIRST_BYTE:
            raise ValueError("first_byte must be 1s to 24h")
        if self.hold > MAX_WAIT:
            raise ValueError("hold must be 0s to 10m")

    @property
    def options(self) -> RouteOptions:
        """As the route table has it."""
        limited = self.max_in_flight is not None
        return RouteOptions(
            max_body=int(self.max_body or 0),
            max_in_flight=self.max_in_flight or 0,
            queue=(100 if self.queue is None else self.queue) if limited else 0,
            queue_timeout=float(10 if self.queue_timeout is None else self.queue_timeout) if limited else 0.0,
            max_per_client=self.max_per_client or 0,
            first_byte=float(self.first_byte or 0),
            hold=float(self.hold),
            sticky=self.sticky,
        )


_USUAL = IngressSpec().options


class Published(Struct, frozen=True):
    """A container port opened on the host, past the ingress: `[ADDRESS:]HOST:CONTAINER[/udp]`."""

    address: str
    host: int
    container: int
    protocol: str

    @classmethod
    def parse(cls, text: str) -> Published:
        """Take `1883:1883` or `127.0.0.1:5432:5432/tcp`; raise ValueError."""
        match = PUBLISHED.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a port; write HOST:CONTAINER, like 1883:1883 or 127.0.0.1:5432:5432")
        host, container = int(match[2]), int(match[3])
        if not (0 < host < 65536 and 0 < container < 65536):
            raise ValueError(f"{text!r}: ports are 1 to 65535")
        return cls(match[1] or "0.0.0.0", host, container, match[4] or "tcp")  # noqa: S104

    def clashes(self, other: Published) -> bool:
        """Whether both cannot be open on one host at once."""
        any_address = "0.0.0.0"  # noqa: S104
        same_address = self.address == other.address or any_address in (self.address, other.address)
        return same_address and (self.host, self.protocol) == (other.host, other.protocol)

    @property
    def stream(self) -> Stream:
        """The stream that cannot be open beside it: streams may be on every address."""
        return Stream("udp" if self.protocol == "udp" else "tcp", self.host)

    def __str__(self) -> str:
        return f"{self.address}:{self.host}/{self.protocol}"


class ServiceSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One long-running process type."""

    image: str | None = None
    build: str | None = None
    """A directory with a Containerfile, relative to app.toml."""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    port: int | None = None
    replicas: int = 1
    routes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    memory: Size | None = None
    cpus: float | None = None
    pids: int = 1024
    health: Health | None = None
    read_only: bool = True
    capabilities: tuple[str, ...] = ()
    user: str | None = None
    workdir: str | None = None
    stop: Duration = Duration(10)
    """Between the polite signal and SIGKILL."""
    hooks: Hooks = Hooks()
    ingress: IngressSpec | UnsetType = UNSET
    """Not None where it is not given: a stored release that does not use it can be read by versions from before it."""
    tcp: StreamSpecs | UnsetType = UNSET
    """Ports of the box whose connections the ingress passes on as they are."""
    udp: StreamSpecs | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.image is None) == (self.build is None):
            raise ValueError("give exactly one of image and build")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("port must be 1 to 65535")
        if not 0 <= self.replicas <= MAX_REPLICAS:
            raise ValueError(f"replicas must be 0 to {MAX_REPLICAS}")
        if self.routes and self.port is None:
            raise ValueError("routes need a port")
        if self.ingress is not UNSET and not self.routes:
            raise ValueError("ingress is for services with routes")
        if self.health is not None and self.health.command is None and self.main_port is None:
            raise ValueError("an http or tcp health check needs a port")
        if self.replicas > 1 and (self.volumes or self.ports):
            raise ValueError("a service with a volume or a published port has one replica")
        for route in self.routes:
            Route.parse(route)
        for port in self.ports:
            Published.parse(port)
        if len(self.streams) > MAX_STREAMS:
            raise ValueError(f"a service has at most {MAX_STREAMS} tcp and udp ports")
        for key in self.env:
            if not ENV_KEY.fullmatch(key):
                raise ValueError(f"env: {key!r} is not a variable name")
        for name, path in self.volumes.items():
            if not VOLUME.fullmatch(name):
                raise ValueError(
                    f"volumes: {name!r} is not a volume name; use letters, digits, dot, dash and underscore, no '/'"
                )
            if not path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"volumes.{name}: {path!r} must be an absolute path inside the container")
        for capability in self.capabilities:
            if not CAPABILITY.fullmatch(capability):
                raise ValueError(f"capabilities: {capability!r} is not a capability; write it like NET_BIND_SERVICE")
        if self.memory is not None and self.memory < 4 * 1024**2:
            raise ValueError("memory must be at least 4MiB")
        if self.cpus is not None and not 0.01 <= self.cpus <= 1024:
            raise ValueError("cpus must be 0.01 or more")
        if not 1 <= self.pids <= 1_000_000:
            raise ValueError("pids must be 1 or more")

    @property
    def pinned(self) -> bool:
        """Stopped before its successor starts: it holds a volume or a host port."""
        return bool(self.volumes or self.ports)

    @property
    def route_options(self) -> RouteOptions:
        """What its routes are to be like."""
        return _USUAL if self.ingress is UNSET else self.ingress.options

    @property
    def published(self) -> tuple[Published, ...]:
        """The host ports, parsed."""
        return tuple(Published.parse(port) for port in self.ports)

    @property
    def streams(self) -> tuple[Mouth, ...]:
        """The `tcp` and `udp` ports, in one form."""
        return (*mouths("tcp", self.tcp), *mouths("udp", self.udp))

    @property
    def main_port(self) -> int | None:
        """The port inside that routes and probes use: `port`, or the first of `tcp`."""
        if self.port is not None:
            return self.port
        return next((one.port for one in mouths("tcp", self.tcp)), None)

    @property
    def inside(self) -> tuple[Published, ...]:
        """The ports inside that streams use beside the main one, each to be open on a free port for the ingress."""
        found = {(one.port, one.stream.protocol) for one in self.streams} - {(self.main_port, "tcp")}
        return tuple(Published("127.0.0.1", 0, port, protocol) for port, protocol in sorted(found))

    @property
    def parsed_routes(self) -> tuple[Route, ...]:
        """The routes, parsed."""
        return tuple(Route.parse(route) for route in self.routes)


class AppMeta(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[app]`."""

    name: str
    version: str
    description: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} must be a lower-case DNS label of at most 40 characters")
        if not VERSION.fullmatch(self.version):
            raise ValueError(f"version {self.version!r} must be letters, digits and . _ + -")


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rollout]`: how patient a change is."""

    deadline: Duration = Duration(600)
    """A change that has not switched by then has failed."""
    confirm: Duration = Duration(3)
    """After the switch the old instances stay up for this long, ready to take over again."""
    drain: Duration = Duration(10)
    """How long requests under way may take before an old instance is stopped."""


class AppSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `app.toml`."""

    app: AppMeta
    services: dict[str, ServiceSpec]
    rollout: Rollout = Rollout()

    def __post_init__(self) -> None:
        if not 1 <= len(self.services) <= MAX_SERVICES:
            raise ValueError(f"an app has 1 to {MAX_SERVICES} services")
        seen: dict[Route, str] = {}
        ports: list[tuple[Published, str]] = []
        streams: dict[Stream, str] = {}
        for name, service in self.services.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"services: {name!r} must be a lower-case DNS label of at most 40 characters")
            for other in service.depends_on:
                if other not in self.services:
                    raise ValueError(f"services.{name}.depends_on: there is no service {other!r}")
            for route in service.parsed_routes:
                if route in seen:
                    raise ValueError(f"services.{name}.routes: {route} is already a route of {seen[route]}")
                seen[route] = name
            for port in service.published:
                for taken, owner in ports:
                    if port.clashes(taken):
                        raise ValueError(f"services.{name}.ports: {port} is already published by {owner}")
                ports.append((port, name))
            for one in service.streams:
                stream = one.stream
                if stream in streams:
                    raise ValueError(
                        f"services.{name}.{stream.protocol}: port {stream.port} is already one of {streams[stream]}"
                    )
                streams[stream] = name
        for port, owner in ports:
            if port.stream in streams:
                raise ValueError(
                    f"services.{owner}.ports: {port} is already a {port.stream.protocol} port of {streams[port.stream]}"
                )
        try:
            self.start_order()
        except CycleError as error:
            raise ValueError(f"services: depends_on goes in a circle: {' -> '.join(error.args[1])}") from None

    def start_order(self) -> tuple[str, ...]:
        """Service names, dependencies first; among equals in the file's order."""
        return tuple(TopologicalSorter({n: s.depends_on for n, s in self.services.items()}).static_order())


def parse_app_toml(data: bytes, what: str = "app.toml") -> AppSpec:
    """Read an `app.toml`. Raises Invalid with the path of the key and the reason."""
    if len(data) > MAX_APP_TOML:
        raise Invalid(f"cannot read {what}: it is larger than {MAX_APP_TOML // 1024} KiB", code="input.size")
    try:
        raw = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {what}: {error}", code="input.toml") from None
    return convert(raw, AppSpec, what)


def effective_health(service: ServiceSpec) -> Health | None:
    """The author's check, or a TCP connect where there is a port, or none."""
    if service.health is not None:
        return service.health
    return Health(tcp=True) if service.main_port is not None else None

"""Streams: public ports whose TCP connections or UDP datagrams go to a service as they are. What isn't HTTP goes here.

In `app.toml` a port is a number, or a table where the port inside differs or a limit is set; several are a list.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, UnsetType

from minipaas.model.route import Backend
from minipaas.model.units import Duration

Protocol: TypeAlias = Literal["tcp", "udp"]

IDLE: dict[Protocol, Duration] = {"tcp": Duration(24 * 3600), "udp": Duration(60)}
"""How long nothing may move. MQTT clients say little for hours, and what is dead the kernel finds by keep-alive."""
CONNECTIONS = 1024
MAX_CONNECTIONS = 65536
MAX_STREAMS = 32
"""Of one service."""


class Stream(Struct, frozen=True, order=True):
    """A port that the box opens for a service; `tcp 1883`."""

    protocol: Protocol
    port: int

    def __str__(self) -> str:
        return f"{self.protocol} {self.port}"


class StreamSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tcp` or `udp` of a service, written out."""

    listen: int
    """On the box."""
    port: int | None = None
    """In the container; None: the same."""
    idle: Duration | None = None
    """A connection (UDP: a client's address) on which nothing moves for so long ends; None: see IDLE."""
    connections: int = CONNECTIONS
    """At once (UDP: addresses of clients)."""
    local: bool = False
    """Only from the box itself: 127.0.0.1."""

    def __post_init__(self) -> None:
        for what, port in (("listen", self.listen), ("port", self.port)):
            if port is not None and not 0 < port < 65536:
                raise ValueError(f"{what} must be 1 to 65535")
        if self.idle is not None and not 1 <= self.idle <= 30 * 86400:
            raise ValueError("idle must be 1s to 30d")
        if not 1 <= self.connections <= MAX_CONNECTIONS:
            raise ValueError(f"connections must be 1 to {MAX_CONNECTIONS}")


StreamSpecs: TypeAlias = int | StreamSpec | tuple[int | StreamSpec, ...]
"""What `tcp` and `udp` take in `app.toml`."""


class Mouth(Struct, frozen=True):
    """One stream of a service, all said."""

    stream: Stream
    port: int
    """In the container."""
    idle: float
    """Seconds."""
    connections: int
    local: bool

    @property
    def inside(self) -> str:
        """The port in the container, as `Instance.inside` names it: `1883/tcp`."""
        return f"{self.port}/{self.stream.protocol}"


def mouths(protocol: Protocol, specs: StreamSpecs | UnsetType) -> tuple[Mouth, ...]:
    """What an author wrote, in one form. Raises ValueError."""
    if isinstance(specs, UnsetType):
        return ()
    found = []
    for one in specs if isinstance(specs, tuple) else (specs,):
        if isinstance(one, int) and not 0 < one < 65536:
            raise ValueError(f"{protocol}: {one} is not a port; ports are 1 to 65535")
        spec = StreamSpec(listen=one) if isinstance(one, int) else one
        idle = IDLE[protocol] if spec.idle is None else spec.idle
        found.append(
            Mouth(Stream(protocol, spec.listen), spec.port or spec.listen, float(idle), spec.connections, spec.local)
        )
    return tuple(found)


class StreamEntry(Struct, frozen=True, order=True):
    """A stream with those who answer it now; sorted, so that equal tables compare equal."""

    stream: Stream
    app: str
    service: str
    backends: tuple[Backend, ...]
    idle: float
    connections: int
    held: bool = False
    """Nobody answers there, and somebody will soon: let connections wait."""
    local: bool = False
    """Only from the box itself."""

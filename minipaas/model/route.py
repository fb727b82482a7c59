"""Routes: which requests go to which service. A route is `HOST[/PREFIX]`; HOST may be `*`."""

from __future__ import annotations

import re

from msgspec import Struct

_HOST = re.compile(r"(\*|(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)")
_PREFIX = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")


class Route(Struct, frozen=True, order=True):
    """Requests for `host` whose path is `prefix` or below it. The longest prefix wins; an exact host beats
    `*.domain`, which beats `*`."""

    host: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Route:
        """Take `shop.local`, `shop.local/api`, `*/api` or `*`; raise ValueError."""
        host, slash, rest = text.partition("/")
        host = host.lower()
        prefix = "/" + rest.strip("/") if slash else "/"
        if not _HOST.fullmatch(host) or not _PREFIX.fullmatch(prefix) or len(text) > 512:
            raise ValueError(f"routes: {text!r} is not a route; write HOST, HOST/PREFIX or */PREFIX")
        return cls(host, prefix)

    def __str__(self) -> str:
        return self.host + (self.prefix if self.prefix != "/" else "")


class Backend(Struct, frozen=True, order=True):
    """One instance that can answer: its container id and where it listens on this host."""

    instance: str
    host: str
    port: int


class RouteOptions(Struct, frozen=True, order=True, omit_defaults=True):
    """What a service asks of the ingress for its routes. Bytes and seconds; 0: no limit of its own."""

    max_body: int = 0
    """Of a request; larger: 413."""
    max_in_flight: int = 0
    """Requests that one instance has in hand at once; further ones wait."""
    queue: int = 0
    """So many may wait for that, over all instances; further ones: 503."""
    queue_timeout: float = 0.0
    """So long; then 503."""
    max_per_client: int = 0
    """Requests at once from one client address; further ones: 429."""
    first_byte: float = 0.0
    """From the end of a request to the head of its answer; longer: 504."""
    hold: float = 0.0
    """How long requests wait while no instance is there and one is on its way; then 503."""
    sticky: bool = False
    """A cookie brings a client to the instance that answered it before."""


class RouteEntry(Struct, frozen=True, order=True):
    """A route with those who answer it now; sorted, so that equal tables compare equal."""

    route: Route
    app: str
    service: str
    backends: tuple[Backend, ...]
    options: RouteOptions = RouteOptions()
    held: bool = False
    """Nobody answers it, and somebody will soon: let requests wait."""

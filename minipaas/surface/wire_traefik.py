"""The routes of this box as Traefik's dynamic configuration, in its own words
(https://doc.traefik.io/traefik/reference/routing-configuration/dynamic-configuration-methods/)."""

from __future__ import annotations

from msgspec import Struct


class TraefikRouter(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which requests go to the box."""

    rule: str
    """In the syntax of Traefik 3."""
    service: str
    priority: int
    """Of two rules that fit, the higher one counts; the narrower route has it, as on the box."""
    middlewares: tuple[str, ...]


class TraefikServer(Struct, frozen=True, kw_only=True):
    """Where the box answers."""

    url: str


class TraefikLoadBalancer(Struct, frozen=True, kw_only=True, rename="camel"):
    """The box has one address, and chooses an instance itself."""

    servers: tuple[TraefikServer, ...]
    pass_host_header: bool = True


class TraefikService(Struct, frozen=True, kw_only=True, rename="camel"):
    """The ingress of this box."""

    load_balancer: TraefikLoadBalancer


class TraefikHeaders(Struct, frozen=True, kw_only=True, rename="camel"):
    """Fields of a request that Traefik sets; an empty value removes one."""

    custom_request_headers: dict[str, str]


class TraefikMiddleware(Struct, frozen=True, kw_only=True):
    """Takes away what a client says in Forwarded: Traefik itself speaks in X-Forwarded-*, and lets that pass."""

    headers: TraefikHeaders


class TraefikHttp(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Empty when there are no routes: Traefik refuses empty lists."""

    routers: dict[str, TraefikRouter] = {}
    services: dict[str, TraefikService] = {}
    middlewares: dict[str, TraefikMiddleware] = {}


class TraefikConfiguration(Struct, frozen=True, kw_only=True):
    """What Traefik's HTTP provider asks for."""

    http: TraefikHttp

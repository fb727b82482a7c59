"""For a proxy that stands in front of the box: which requests are for it."""

from __future__ import annotations

from minipaas.model.route import Route
from minipaas.surface.call import ANYWHERE, Call
from minipaas.surface.wire_traefik import (
    TraefikConfiguration,
    TraefikHeaders,
    TraefikHttp,
    TraefikLoadBalancer,
    TraefikMiddleware,
    TraefikRouter,
    TraefikServer,
    TraefikService,
)

_SERVICE = "minipaas"
_EXACT, _WILD, _ANY = 2_000_000, 1_000_000, 1
"""Priorities: an exact host beats a wildcard, which beats none; then the longer domain counts, then the longer path."""


async def traefik(call: Call) -> TraefikConfiguration:
    """All routes of this box, for Traefik's HTTP provider."""
    entries = call.control.observed.routes
    if not entries:
        return TraefikConfiguration(http=TraefikHttp())
    server = TraefikServer(url=call.query["server"] or _address(call))
    return TraefikConfiguration(
        http=TraefikHttp(
            routers={
                f"{entry.app}-{entry.service}-{number}": TraefikRouter(
                    rule=_rule(entry.route),
                    service=_SERVICE,
                    priority=_priority(entry.route),
                    middlewares=(_SERVICE,),
                )
                for number, entry in enumerate(entries, 1)
            },
            services={_SERVICE: TraefikService(load_balancer=TraefikLoadBalancer(servers=(server,)))},
            middlewares={
                _SERVICE: TraefikMiddleware(headers=TraefikHeaders(custom_request_headers={"Forwarded": ""})),
            },
        )
    )


def _address(call: Call) -> str:
    """Where the caller reaches the ingress."""
    addresses = call.control.ingress.addresses
    address, port = addresses[0] if addresses else ("0.0.0.0", 80)  # noqa: S104
    host = call.host if address in ANYWHERE else address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _rule(route: Route) -> str:
    parts = []
    if route.host.startswith("*."):
        domain = route.host[1:].replace(".", r"\.")
        parts.append(f"HostRegexp(`^.+{domain}$`)")
    elif route.host != "*":
        parts.append(f"Host(`{route.host}`)")
    if route.prefix != "/":
        # /api is for /api and /api/x, not for /apix.
        parts.append(f"(Path(`{route.prefix}`) || PathPrefix(`{route.prefix}/`))")
    return " && ".join(parts) or "PathPrefix(`/`)"


def _priority(route: Route) -> int:
    if route.host == "*":
        return _ANY + len(route.prefix)
    if route.host.startswith("*."):
        return _WILD + len(route.host) * 1000 + len(route.prefix)
    return _EXACT + len(route.prefix)

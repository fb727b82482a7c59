"""The routes for an outer Traefik: the keys that its documentation names, and the same choice as the box makes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from minipaas.ingress.core import Core
from minipaas.ingress.limits import Limits
from minipaas.model.observed import Observed
from minipaas.model.route import Backend, Route, RouteEntry
from tests.surface.small import SmallBox

ROUTES = (
    *("shop.local", "shop.local/api", "shop.local/api/v2", "*.shop.local", "*.eu.shop.local", "*.shop.local/media"),
    *("*/api", "*/x.y~z", "other.local/only", "*"),
)
HOSTS = (
    "shop.local",
    "a.shop.local",
    "a.b.shop.local",
    "a.eu.shop.local",
    "other.local",
    "xshop.local",
    "nobody.example",
)
PATHS = ("/", "/api", "/api/", "/api/v2/x", "/apix", "/media", "/media/1", "/only", "/x.y~z", "/x-y~z", "/other")


def entries(*routes: str) -> tuple[RouteEntry, ...]:
    backend = Backend("0" * 64, "127.0.0.1", 40000)
    return tuple(sorted(RouteEntry(Route.parse(one), "shop", "web", (backend,)) for one in routes))


async def asked(box: SmallBox, query: str = "") -> dict[str, Any]:
    async with await box.remote() as session, session.get(f"/api/v1/ingress/routes{query}") as answer:
        assert answer.status == 200, await answer.text()
        told = await answer.json()
        assert isinstance(told, dict)
        return told


def fits(rule: str, host: str, path: str) -> bool:
    """Traefik's rules, as far as they are used here."""
    if " && " in rule:
        return all(fits(part, host, path) for part in rule.split(" && "))
    if rule.startswith("("):
        return any(fits(part, host, path) for part in rule[1:-1].split(" || "))
    match = re.fullmatch(r"(\w+)\(`([^`]*)`\)", rule)
    assert match, rule
    kind, value = match[1], match[2]
    return {
        "Host": lambda: host == value,
        "HostRegexp": lambda: re.search(value, host) is not None,
        "Path": lambda: path == value,
        "PathPrefix": lambda: path.startswith(value),
    }[kind]()


async def test_traefik_sends_each_request_where_the_box_would_have_it(box: SmallBox) -> None:
    box.control.observed = Observed(boot="boot-1", routes=entries(*ROUTES))
    told = await asked(box)
    core = Core(Limits())
    core.swap(box.control.observed.routes)
    routers = told["http"]["routers"]
    rules = {str(entry.route): routers[f"shop-web-{number}"] for number, entry in enumerate(entries(*ROUTES), 1)}
    assert len(rules) == len(routers) == len(ROUTES)
    for host in HOSTS:
        for path in PATHS:
            fitting = [
                (router["priority"], route) for route, router in rules.items() if fits(router["rule"], host, path)
            ]
            target = core.table.lookup(host.encode(), path.encode())
            assert target is not None
            assert max(fitting)[1] == str(target.entry.route), (host, path, fitting)


async def test_only_what_traefik_knows_is_said(box: SmallBox) -> None:
    """Traefik refuses a whole configuration for one key that it does not know."""
    box.control.observed = Observed(boot="boot-1", routes=entries("shop.local/api"))
    assert await asked(box) == {
        "http": {
            "routers": {
                "shop-web-1": {
                    "rule": "Host(`shop.local`) && (Path(`/api`) || PathPrefix(`/api/`))",
                    "service": "minipaas",
                    "priority": 2_000_004,
                    "middlewares": ["minipaas"],
                }
            },
            "services": {
                "minipaas": {
                    "loadBalancer": {"servers": [{"url": "http://127.0.0.1:8080"}], "passHostHeader": True},
                }
            },
            "middlewares": {"minipaas": {"headers": {"customRequestHeaders": {"Forwarded": ""}}}},
        }
    }


async def test_no_routes_are_no_empty_lists(box: SmallBox) -> None:
    assert await asked(box) == {"http": {}}


@pytest.mark.parametrize(
    ("listens", "query", "url"),
    [
        ("0.0.0.0", "", "http://127.0.0.1:8080"),
        ("10.1.2.3", "", "http://10.1.2.3:8080"),
        ("fd00::1", "", "http://[fd00::1]:8080"),
        ("0.0.0.0", "?server=https://edge1.lan:8443", "https://edge1.lan:8443"),
    ],
)
async def test_where_the_box_answers(box: SmallBox, listens: str, query: str, url: str) -> None:
    box.control.observed = Observed(boot="boot-1", routes=entries("*"))
    box.control.ingress.addresses = ((listens, 8080),)
    told = await asked(box, query)
    assert told["http"]["services"]["minipaas"]["loadBalancer"]["servers"] == [{"url": url}]


async def test_an_odd_address_is_refused(box: SmallBox) -> None:
    async with await box.remote() as session, session.get("/api/v1/ingress/routes?server=ftp://x/y") as answer:
        assert answer.status == 400

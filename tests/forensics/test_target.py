"""Which instance is meant."""

from __future__ import annotations

import pytest

from minipaas.forensics.target import choose
from minipaas.model.errors import Invalid, Missing
from minipaas.model.observed import HealthState, Instance, InstanceState, Observed
from minipaas.model.route import Backend, Route, RouteEntry
from tests.surface.small import instance

OLD, NEW = instance(generation=1), instance(generation=2)
SECOND = instance(slot=2, generation=1)
SICK = instance(generation=3, health=HealthState.UNHEALTHY)
DEAD = instance(generation=4, state=InstanceState.EXITED)
WORKER = instance(service="worker")


def seen(*instances: Instance, routed: Instance | None = None) -> Observed:
    routes = ()
    if routed is not None:
        backend = Backend(instance=routed.id, host="127.0.0.1", port=1)
        routes = (RouteEntry(Route.parse("shop.local"), "shop", "web", (backend,)),)  # type: ignore[assignment]
    return Observed(boot="b", instances=instances, routes=routes)


@pytest.mark.parametrize(
    ("observed", "slot", "meant"),
    [
        (seen(OLD, NEW), None, NEW),
        (seen(OLD, NEW, routed=OLD), None, OLD),
        (seen(OLD, SICK, DEAD), None, OLD),
        (seen(SICK, DEAD), None, SICK),
        (seen(SECOND, OLD), None, OLD),
        (seen(SECOND, OLD), 2, SECOND),
    ],
    ids=["newest", "routed", "healthy", "running at all", "first slot", "by number"],
)
def test_one_that_serves(observed: Observed, slot: int | None, meant: Instance) -> None:
    assert choose(observed, "shop", None, slot) == meant


def test_with_several_services_one_is_named() -> None:
    observed = seen(OLD, WORKER)
    assert choose(observed, "shop", "worker", None) == WORKER
    with pytest.raises(Invalid) as error:
        choose(observed, "shop", None, None)
    assert error.value.code == "access.which"
    assert error.value.hint == "say which: shop/web"


@pytest.mark.parametrize(
    ("app", "service", "slot", "named"),
    [("nobody", None, None, "nobody:"), ("shop", "db", None, "shop/db:"), ("shop", "web", 9, "shop/web/9:")],
)
def test_nobody_there(app: str, service: str | None, slot: int | None, named: str) -> None:
    with pytest.raises(Missing, match=f"cannot enter {named} no instance of it runs"):
        choose(seen(OLD, DEAD), app, service, slot)

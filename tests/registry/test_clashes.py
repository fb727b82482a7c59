"""Routes and host ports that belong to another app."""

from __future__ import annotations

import pytest

from minipaas.model.errors import Conflict
from minipaas.model.release import Release
from minipaas.model.stream import StreamSpec, StreamSpecs
from minipaas.registry.registry import Registry
from tests.registry.made import WHO, accept, release, serve


def app(
    name: str,
    sequence: int = 1,
    *,
    routes: tuple[str, ...] = (),
    ports: tuple[str, ...] = (),
    tcp: StreamSpecs = (),
    udp: StreamSpecs = (),
) -> Release:
    return release(sequence, name, routes=routes, ports=ports, tcp=tcp, udp=udp)


CASES = [
    # there already, wanted, the rule that is broken
    ({"routes": ("a.local",)}, {"routes": ("a.local",)}, "route.taken"),
    ({"routes": ("a.local",)}, {"routes": ("A.local/",)}, "route.taken"),
    ({"routes": ("a.local/x",)}, {"routes": ("b.local", "a.local/x/")}, "route.taken"),
    ({"routes": ("*",)}, {"routes": ("*/",)}, "route.taken"),
    ({"routes": ("a.local",)}, {"routes": ("a.local/x",)}, None),
    ({"routes": ("*",)}, {"routes": ("a.local",)}, None),
    ({"ports": ("1883:1883",)}, {"ports": ("1883:99",)}, "port.taken"),
    ({"ports": ("127.0.0.1:1883:1883",)}, {"ports": ("1883:1883",)}, "port.taken"),
    ({"ports": ("127.0.0.1:1883:1883",)}, {"ports": ("10.0.0.1:1883:1883",)}, None),
    ({"ports": ("1883:1883/udp",)}, {"ports": ("1883:1883/tcp",)}, None),
    ({"tcp": 1883}, {"tcp": (1884, StreamSpec(listen=1883, port=80))}, "port.taken"),
    ({"tcp": 1883}, {"ports": ("127.0.0.1:1883:80",)}, "port.taken"),
    ({"ports": ("1883:80",)}, {"tcp": 1883}, "port.taken"),
    ({"ports": ("514:514/udp",)}, {"udp": 514}, "port.taken"),
    ({"tcp": 514}, {"udp": 514}, None),
    ({"tcp": StreamSpec(listen=2883, port=1883)}, {"tcp": 1883}, None),
]


@pytest.mark.parametrize(("there", "wanted", "code"), CASES)
async def test_two_apps_cannot_have_the_same(
    registry: Registry, there: dict[str, tuple[str, ...]], wanted: dict[str, tuple[str, ...]], code: str | None
) -> None:
    await serve(registry, app("first", **there))
    if code is None:
        await accept(registry, app("second", **wanted))
        return
    with pytest.raises(Conflict) as caught:
        await accept(registry, app("second", **wanted))
    assert caught.value.code == code
    assert "first" in caught.value.message
    assert [one.app for one in (await registry.desired()).apps] == ["first"]


async def test_every_release_that_may_answer_counts(registry: Registry) -> None:
    await serve(registry, app("first", 1, routes=("good.local",)))
    rolling = await accept(registry, app("first", 2, routes=("target.local",)))
    for route in ("good.local", "target.local"):
        with pytest.raises(Conflict):
            await accept(registry, app("second", routes=(route,)))

    # A change that was given up does not hold what only it wanted.
    third = await accept(registry, app("first", 3, routes=("good.local",)))
    assert third.id != rolling.id
    await accept(registry, app("second", routes=("target.local",)))


async def test_an_app_may_take_over_its_own_routes(registry: Registry) -> None:
    await serve(registry, app("first", 1, routes=("a.local",), ports=("80:80",)))
    await accept(registry, app("first", 2, routes=("a.local",), ports=("80:80",)))


async def test_an_app_that_is_being_removed_holds_nothing(registry: Registry) -> None:
    await serve(registry, app("first", routes=("a.local",), ports=("80:80",)))
    await registry.remove("first", purge=False, **WHO, now=1.0)
    await accept(registry, app("second", routes=("a.local",), ports=("80:80",)))

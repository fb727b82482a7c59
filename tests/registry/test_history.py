"""The history of an app: everything once and in order, however it is paged; deaths outlive their containers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipaas.model.change import Change
from minipaas.registry import limits
from minipaas.registry.audit import AuditRow
from minipaas.registry.deaths import Death
from minipaas.registry.history import Happening, Place
from minipaas.registry.journal import JournalRow
from minipaas.registry.registry import Registry
from tests.registry.made import accept, digest, finish, release


def death(at: float, container: str = "c1", app: str = "shop") -> Death:
    return Death(
        app=app,
        service="web",
        container=container,
        name="shop-web-1-1",
        release=digest("1"),
        at=at,
        detail="exit code 3",
    )


def told(found: list[Happening]) -> list[str]:
    words = {Change: "change", JournalRow: "step", Death: "death", AuditRow: "audit"}
    return [words[type(one.what)] for one in found]


async def test_everything_in_one_order(registry: Registry) -> None:
    await finish(registry, await accept(registry, release(1), 100.0), 200.0)
    step = await registry.begin_step(None, "shop", "StartInstance", "start web #1, attempt 2", 251.0)
    await registry.end_step(step, True, "", 252.0)
    await registry.begin_step(1, "shop", "StartInstance", "one of the change", 150.0)
    await registry.record_deaths([death(250.0), death(249.0, app="other")])
    await registry.audit(
        actor="ci", action="drop", subject="shop 1.2", origin="tcp", result="dropped", now=260.0, app="shop"
    )
    found = await registry.happenings("shop", 10, audited=True)
    assert told(found) == ["audit", "step", "death", "change", "change"], "who began a change is told by its beginning"
    assert told(await registry.happenings("shop", 10)) == ["step", "death", "change", "change"]
    assert await registry.happenings("nothing", 10, audited=True) == []


async def test_a_death_is_written_once(registry: Registry) -> None:
    for _ in range(3):
        await registry.record_deaths([death(250.0), death(300.0)])
    assert [one.what.at for one in await registry.happenings("shop", 10)] == [300.0, 250.0]


async def test_the_oldest_deaths_of_the_same_app_go(registry: Registry) -> None:
    await registry.record_deaths([death(1.0, app="other")])
    await registry.record_deaths([death(float(n), f"c{n}") for n in range(limits.DEATHS_KEPT + 5)])
    found = await registry.happenings("shop", limits.DEATHS_KEPT + 10)
    assert len(found) == limits.DEATHS_KEPT
    assert found[-1].what.at == 5.0
    assert len(await registry.happenings("other", 10)) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(st.sampled_from([10.0, 10.000001, 10.5, 11.0]), max_size=25), size=st.integers(1, 7))
def test_pages_of_any_size_have_everything_once(tmp_path_factory, ends: list[float], size: int) -> None:
    import asyncio

    async def check() -> None:
        registry = Registry.open(tmp_path_factory.mktemp("paged") / "registry.db")
        try:
            await registry.record_deaths([death(at, f"c{n}") for n, at in enumerate(ends)])
            for at in ends:
                await registry.begin_step(None, "shop", "Drain", "drain web", at)
            whole = await registry.happenings("shop", 100)
            assert len(whole) == 2 * len(ends)
            pages: list[Happening] = []
            before: Place | None = None
            while page := await registry.happenings("shop", size, before):
                assert len(page) == min(size, len(whole) - len(pages))
                pages += page
                before = Place.parse(str(page[-1].place))
            assert pages == whole
        finally:
            await registry.close()

    asyncio.run(check())


@pytest.mark.parametrize("text", ["", "1-2", "a-b-c", "1-2-3-4"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        Place.parse(text)

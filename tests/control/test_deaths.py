"""Who dies is written down, with how it ended, and stays known when the container is gone."""

from __future__ import annotations

from pathlib import Path

from minipaas.registry.deaths import Death
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.server import FakePodman


async def deaths(box: RunningBox) -> list[Death]:
    found = await box.control.registry.happenings("shop", 100)
    return [one.what for one in found if isinstance(one.what, Death)]


async def test_a_crash_is_remembered(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.crash("minipaas-shop-web-1-1", 137)
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])
    [one] = await deaths(started)
    assert (one.service, one.name, one.detail) == ("web", "minipaas-shop-web-1-1", "exit code 137 (signal 9)")


async def test_what_was_stopped_on_purpose_is_no_death(started: RunningBox) -> None:
    await started.deploy(toml())
    await started.deploy(toml(version="2.0"), version="2.0")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])
    assert await deaths(started) == []


async def test_a_look_that_still_saw_it_knows_why_it_was_stopped(started: RunningBox) -> None:
    await started.deploy(toml())
    key = started.fake.container("minipaas-shop-web-1-1").id
    await started.deploy(toml(version="2.0"), version="2.0")
    await started.until(lambda: "minipaas-shop-web-1-1" not in started.fake.containers)
    assert (await started.control.registry.notes())[key].stopped == "replaced", "gone a moment ago"
    started.control._collect.set()

    async def dropped() -> bool:
        return key not in await started.control.registry.notes()

    await started.until(dropped)


async def test_a_new_start_of_the_box_writes_nobody_twice(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as first:
        await first.trust()
        await first.deploy(toml())
        first.fake.crash("minipaas-shop-web-1-1", 3)
        await first.until(lambda: first.running() == ["minipaas-shop-web-1-2"])
    async with running_box(fake, tmp_path) as second:
        await second.until(lambda: second.running() == ["minipaas-shop-web-1-2"])
        assert [one.detail for one in await deaths(second)] == ["exit code 3"]

"""Following on a whole box: every container's lines are kept, also of those that live for moments, over a restart."""

from __future__ import annotations

from pathlib import Path

from minipaas.model.logs import Wanted
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.server import FakePodman

HOOK = '[services.web.hooks]\nrelease = ["migrate"]\n'


async def texts(box: RunningBox, **wanted: object) -> list[str]:
    found = await box.control.logs.newest("shop", Wanted(**wanted), 10_000)  # type: ignore[arg-type]
    return [line.text.decode() for line in found.lines]


async def test_instances_and_hooks_are_followed(started: RunningBox) -> None:
    done = await started.deploy(toml(extra=HOOK))
    assert done.state == "done"
    one = started.instances()[0]
    started.fake.log(one.id, "hello", "world")
    await started.until(lambda: texts(started, text="hello"))
    assert await texts(started, service="web", text="hello") == ["hello"]
    assert await texts(started, text="hook ran") == ["hook ran"], "its container is gone by now"


async def test_lines_of_a_removed_app_are_kept(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.log(started.instances()[0].id, "last words")
    removed = await started.control.remove("shop", purge=True, actor="t", origin="t")
    await started.ended(removed)

    async def gone() -> bool:
        return not started.instances() and "last words" in await texts(started)

    await started.until(gone)


async def test_over_a_restart_of_minipaas_nothing_is_lost_or_doubled(fake: FakePodman, tmp_path: Path) -> None:
    fake.world.rules.append((lambda _: True, Behaviour(output=("started",))))
    async with running_box(fake, tmp_path) as box:
        await box.trust()
        await box.deploy(toml())
        key = box.instances()[0].id
        fake.log(key, "one")
        await box.until(lambda: texts(box, text="one"))
    fake.log(key, "two")
    async with running_box(fake, tmp_path) as box:
        fake.log(key, "three")
        await box.until(lambda: texts(box, text="three"))
        assert await texts(box) == ["started", "one", "two", "three"]

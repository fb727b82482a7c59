"""Collection that meets trouble: it goes on later, and the box goes on at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.boxes import RunningBox, toml
from tests.control.test_lanes import by_hand


async def test_a_blob_store_that_is_gone_does_not_stop_the_box(started: RunningBox, tmp_path: Path) -> None:
    await started.deploy(toml())
    shutil.rmtree(tmp_path / "data" / "blobs")
    started.control._collect.set()
    await started.until(lambda: not started.control._collect.is_set())
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])


async def test_notes_of_containers_that_somebody_removed_are_dropped(started: RunningBox) -> None:
    await started.deploy(toml())
    key = started.fake.container("minipaas-shop-web-1-1").id
    await by_hand(started, "DELETE", "containers/minipaas-shop-web-1-1?force=true")
    await started.until(started.running)

    async def dropped() -> bool:
        started.control._collect.set()
        notes = await started.control.registry.notes()
        return key not in notes and len(notes) == 1

    await started.until(dropped)


async def test_an_image_that_a_scene_still_holds_goes_later(started: RunningBox) -> None:
    await started.deploy(toml(version="1.0"))
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: len(started.fake.running) == 1)
    for number in range(2, 7):
        await started.deploy(toml(version=f"{number}.0"), version=f"{number}.0")
    held = "minipaas-shop-web-1-1"
    assert held in started.fake.containers, "the scene is kept"
    image = f"sha256:{started.fake.container(held).image.id}"
    assert image in started.fake.images
    await by_hand(started, "DELETE", f"containers/{held}?force=true")

    async def gone() -> bool:
        started.control._collect.set()
        return image not in started.fake.images

    await started.until(gone)

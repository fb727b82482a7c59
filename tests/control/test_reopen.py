"""Going back into a scene: what the container is made of, and that it is gone with the lease."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.forensics.access import Visitor
from minipaas.model.errors import MinipaasError, Missing
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.server import FakePodman

ME = Visitor(actor="test", origin="here", reason="to see", seconds=60)


async def crashed(box: RunningBox, fake: FakePodman) -> str:
    """A box whose shop has failed once; the group of it."""
    await box.trust()
    await box.deploy(toml(extra='user = "1000:1000"\nmemory = "32MiB"\nvolumes = { data = "/data" }\n', replicas=1))
    (name,) = box.running()
    fake.write(name, "/tmp/last", b"last words")
    fake.write(name, "/etc/own", b"changed")
    fake.crash(name, 3)
    await box.until(box.control.shelf.groups)
    return box.control.shelf.groups()[0].id


def scenes(fake: FakePodman) -> list[str]:
    return [name for name in fake.containers if name.startswith("minipaas-scene-")]


async def test_what_it_is_made_of(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await crashed(box, fake)
        async with box.control.reopening.open(name, "sh", ME) as (instance, lease):
            assert (lease.lease.app, lease.lease.what, lease.lease.reason) == ("shop", "sh", "to see")
            (opened,) = scenes(fake)
            container = fake.containers[opened]
            assert container.id == instance.id
            assert container.running
            assert container.files == {"/tmp/last": b"last words", "/etc/own": b"changed"}
            body = container.body
            assert body["netns"] == {"nsmode": "none"}
            assert body.get("portmappings", []) == []
            assert body["cap_drop"] == ["all"]
            assert body["user"] == "1000:1000"
            assert body["resource_limits"]["memory"]["limit"] == 32 * 1024**2
            assert body["env"]["FAKE"] == ""
            (volume,) = body["volumes"]
            assert volume["Dest"] == "/data"
            assert "ro" in volume["Options"]
            assert opened not in {one.name for one in box.instances()}, "upkeep and routes do not know it"
        assert scenes(fake) == []
        assert box.control.shelf.find(name), "the scene itself stays"


async def test_what_a_killed_minipaas_left_open_is_taken_away(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await crashed(box, fake)
        held = box.control.reopening.open(name, "sh", ME)
        await held.__aenter__()
        assert len(scenes(fake)) == 1
        fake.refuse("DELETE .*containers", times=1)
        with pytest.raises(MinipaasError):
            await held.__aexit__(None, None, None)
        assert len(scenes(fake)) == 1
    async with running_box(fake, tmp_path) as box:
        await box.until(lambda: not scenes(fake))


async def test_a_scene_without_its_image_cannot_be_opened(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await crashed(box, fake)
        change = await box.control.remove("shop", purge=True, actor="test", origin="test")
        await box.ended(change)
        await box.until(lambda: not box.instances())
        for image in list(fake.images):
            fake.lose_image(image)
        fake.refuse("POST .*images/pull", times=9)
        with pytest.raises(Missing, match="image of release"):
            async with box.control.reopening.open(name, "sh", ME):
                pass


async def test_files_that_cannot_be_put_in_leave_no_container(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await crashed(box, fake)
        fake.refuse("PUT .*archive")
        with pytest.raises(MinipaasError):
            async with box.control.reopening.open(name, "sh", ME):
                pass
        assert scenes(fake) == []
        async with box.control.reopening.open(name, "sh", ME):
            assert len(scenes(fake)) == 1

"""Containers of tools beside instances."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.engine.attach import Command
from minipaas.engine.beside import DEBUG
from minipaas.engine.body import BOX as LABEL
from minipaas.engine.engine import Engine
from minipaas.forensics.toolbox import Toolbox
from minipaas.model.errors import MinipaasError
from tests.engine.conftest import make_launch
from tests.fakepodman import FakePodman


@pytest.fixture
async def container(engine: Engine, fake: FakePodman) -> str:
    """A running one."""
    await engine.ensure_network("shop")
    made = await engine.create(make_launch(fake.add_image()))
    await engine.start(made)
    return made


def debug(fake: FakePodman) -> list[str]:
    return [name for name, one in fake.containers.items() if one.labels.get("io.minipaas.kind") == DEBUG]


async def test_it_shares_processes_and_network_and_little_else(
    engine: Engine, fake: FakePodman, container: str
) -> None:
    async with Toolbox(engine).open(container, 60) as beside:
        body = fake.container(beside).body
        assert body["pidns"] == body["netns"] == {"nsmode": "container", "value": container}
        assert body["cap_drop"] == ["all"]
        assert body["no_new_privileges"] is True
        assert body["command"] == ["sleep", "120"]
        assert body["labels"][LABEL] == "box-1"
        async with engine.attach(beside, Command(argv=("echo", "hi"))) as attached:
            assert [data async for _, data in attached.output()] == [b"hi\n"]
        assert (await engine.observe()).instances == tuple(
            one for one in (await engine.observe()).instances if one.id == container
        ), "nobody takes it for an instance"
    assert debug(fake) == []


async def test_the_image_is_given_to_podman_once(engine: Engine, fake: FakePodman, container: str) -> None:
    toolbox = Toolbox(engine)
    for _ in range(2):
        async with toolbox.open(container, 60):
            pass
    assert fake.calls["POST images/load"] == 1


async def test_it_keeps_no_instance_from_being_removed(engine: Engine, fake: FakePodman, container: str) -> None:
    async with Toolbox(engine).open(container, 60):
        await engine.remove(container, fake.container(container).name)
        assert fake.containers == {}


async def test_what_a_killed_minipaas_has_left_is_swept(engine: Engine, fake: FakePodman, container: str) -> None:
    fake.refuse("DELETE containers", times=1)
    async with Toolbox(engine).open(container, 60):
        pass
    assert len(debug(fake)) == 1
    await engine.beside.sweep()
    assert debug(fake) == []
    assert fake.container(container).running


async def test_an_installation_without_it(engine: Engine, container: str, tmp_path: Path) -> None:
    with pytest.raises(MinipaasError) as error:
        async with Toolbox(engine, tmp_path).open(container, 60):
            pass
    assert error.value.code == "access.no_toolbox"


async def test_an_archive_that_is_none_is_told(engine: Engine, fake: FakePodman) -> None:
    fake.refuse("images/load", 500, message="payload does not match any of the supported image formats")

    async def pieces() -> AsyncIterator[bytes]:
        data = io.BytesIO()
        tarfile.open(fileobj=data, mode="w").close()
        yield data.getvalue()

    with pytest.raises(MinipaasError, match="cannot load the toolbox"):
        await engine.beside.load(pieces())

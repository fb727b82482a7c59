"""Files of containers, in and out."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator

import pytest

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineError, Refused
from tests.engine.conftest import make_launch
from tests.fakepodman import FakePodman
from tests.forensics.test_tarcheck import tar


@pytest.fixture
async def container(engine: Engine, fake: FakePodman) -> str:
    """A running one with a writable root."""
    await engine.ensure_network("shop")
    made = await engine.create(make_launch(fake.add_image(), read_only=False))
    await engine.start(made)
    return made


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def test_what_is_written_is_there_and_comes_back(engine: Engine, fake: FakePodman, container: str) -> None:
    data = tar(("d/a", b"hello", {}))
    (fake.container(container).root / "data").mkdir()
    await engine.archive.write(container, "/data", pieces(data[:100], data[100:]))
    async with engine.archive.read(container, "/data") as back:
        whole = b"".join([piece async for piece in back])
    with tarfile.open(fileobj=io.BytesIO(whole)) as read:
        assert read.extractfile("data/d/a").read() == b"hello"  # type: ignore[union-attr]


async def test_what_a_path_is(engine: Engine, fake: FakePodman, container: str) -> None:
    (fake.container(container).root / "file").write_bytes(b"12345")
    file, root = await engine.archive.stat(container, "/file"), await engine.archive.stat(container, "/")
    assert file is not None
    assert root is not None
    assert (file.name, file.size, file.directory, root.directory) == ("file", 5, False, True)
    assert await engine.archive.stat(container, "/nowhere") is None


async def test_a_root_that_is_read_only(engine: Engine, fake: FakePodman) -> None:
    await engine.ensure_network("shop")
    made = await engine.create(make_launch(fake.add_image(), read_only=True))
    await engine.start(made)
    with pytest.raises(EngineError) as error:
        await engine.archive.write(made, "/", pieces(tar(("a", b"x", {}))))
    assert error.value.code == "engine.read_only"
    assert "volume" in error.value.hint


async def test_what_the_sender_trips_over_is_the_error(engine: Engine, container: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"\0" * 512
        raise Refused("cannot copy: no")

    with pytest.raises(Refused, match="cannot copy: no"):
        await engine.archive.write(container, "/", broken())

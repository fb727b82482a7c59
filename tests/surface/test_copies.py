"""Files of instances over the API, with the real command line's side of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from minipaas.model.config import AccessConfig
from minipaas.model.errors import MinipaasError, Missing, Refused
from minipaas.model.units import Size
from minipaas.surface.cli.copied import copied
from minipaas.surface.client import Box
from minipaas.surface.connection import Address
from minipaas.surface.wire_access import CopyFiles
from tests.boxes import RunningBox, config, fake, running_box, started, toml  # noqa: F401 - fixtures
from tests.fakepodman import FakePodman

WRITABLE = "read_only = false"


@pytest.fixture
async def shop(started: RunningBox) -> RunningBox:  # noqa: F811
    """A box on which shop runs, with a root file system that can be written."""
    await started.deploy(toml(extra=WRITABLE))
    return started


def root(box: RunningBox) -> Path:
    """Of the instance."""
    (name,) = box.running()
    return box.fake.container(name).root


async def copy(box: RunningBox, here: Path, path: str, *, into: bool = False) -> int:
    token = await box.token("admin")
    api = Box(Address.parse(box.url), token)
    return await asyncio.to_thread(copied, api, "shop", CopyFiles(path=path, into=into), here, lambda _: None)


async def test_a_file_and_a_directory_in_and_out_again(shop: RunningBox, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "a").write_bytes(b"a" * 300_000)
    (tree / "link").symlink_to("deep/a")
    await copy(shop, tree, "/", into=True)
    assert (root(shop) / "tree/deep/a").read_bytes() == b"a" * 300_000
    await copy(shop, tree / "deep/a", "/tree/b", into=True)
    await copy(shop, tmp_path / "back", "/tree")
    assert (tmp_path / "back/b").read_bytes() == b"a" * 300_000
    assert (tmp_path / "back/link").readlink() == Path("deep/a")
    (lease, *_) = await shop.control.access.kept.newest(3)
    assert lease.what == "from /tree"
    assert lease.result.endswith("KiB")


async def test_a_copy_out_leaves_the_instance_as_it_is(shop: RunningBox, tmp_path: Path) -> None:
    (root(shop) / "a").write_bytes(b"a")
    (one,) = [one for one in shop.instances() if one.running]
    await copy(shop, tmp_path / "a", "/a")
    assert shop.control.access.touched.of(one.id) is None
    await copy(shop, tmp_path / "a", "/b", into=True)
    touch = shop.control.access.touched.of(one.id)
    assert touch is not None
    assert touch.written


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere/at/all"])
async def test_what_is_not_there(shop: RunningBox, tmp_path: Path, path: str) -> None:
    with pytest.raises(Missing):
        await copy(shop, tmp_path / "x", path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("path", ["/nowhere/x", "/new/"])
async def test_no_directory_for_it(shop: RunningBox, tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(Missing, match="there is no directory"):
        await copy(shop, tmp_path / "x", path, into=True)


async def test_too_much_is_refused_in_both_directions(fake: FakePodman, tmp_path: Path) -> None:  # noqa: F811
    settings = structs.replace(config(fake), access=AccessConfig(copy=Size(100_000)))
    async with running_box(fake, tmp_path, settings) as box:
        await box.trust()
        await box.deploy(toml(extra=WRITABLE))
        (tmp_path / "big").write_bytes(b"x" * 3_000_000)
        (root(box) / "big").write_bytes(b"x" * 3_000_000)
        for into in (True, False):
            with pytest.raises(Refused) as error:
                await copy(box, tmp_path / "big", "/big", into=into)
            assert error.value.code == "access.too_large"


async def test_podmans_refusal_arrives(started: RunningBox, tmp_path: Path) -> None:  # noqa: F811
    await started.deploy(toml())
    (tmp_path / "x").write_bytes(b"x" * 2_000_000)
    with pytest.raises(MinipaasError, match="read-only file system"):
        await copy(started, tmp_path / "x", "/x", into=True)

"""What a box does on a disk of 16 MiB, in a mount of its own.

python -m tests.registry.small_disk full|start|ballast|readonly|upload DIRECTORY
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minipaas.model.errors import MinipaasError, NoSpace
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from tests.registry.made import digest, put_blob, release, serve


def fill(disk: Path) -> Path:
    """Leave not one block free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


async def write_until_full(registry: Registry) -> int:
    """Serve release after release; returns the last that was acknowledged."""
    sequence = 1
    while True:
        try:
            await serve(registry, release(sequence))
        except NoSpace as error:
            assert "full" in error.message
            return sequence - 1
        sequence += 1


async def full(disk: Path) -> None:
    """The write says NoSpace, reading goes on, and with room again so does writing."""
    registry = Registry.open(disk / "registry.db")
    filler = fill(disk)
    last = await write_until_full(registry)
    assert [app.app for app in (await registry.desired()).apps] == (["shop"] if last else [])
    filler.unlink()
    await serve(registry, release(last + 2))
    assert (await registry.floors())["shop"].sequence == last + 2
    await registry.close()


async def ballast(disk: Path) -> None:
    """The ballast is spent before a write is lost, and is put back when there is room."""
    store = BlobStore(disk, ballast=2 * 1024 * 1024)
    assert store.restore_ballast()
    registry = Registry.open(disk / "registry.db", on_full=store.release_ballast)
    filler = fill(disk)
    for sequence in range(1, 100):
        await serve(registry, release(sequence))
    assert not store.ballast.held
    assert not store.restore_ballast()
    filler.unlink()
    assert store.restore_ballast()
    await registry.close()


async def start(disk: Path) -> None:
    """A start on a full disk spends the ballast; without one it says what is wrong."""
    store = BlobStore(disk, ballast=2 * 1024 * 1024)
    registry = Registry.open(disk / "registry.db")
    await serve(registry, release(1))
    await registry.close()
    assert store.restore_ballast()
    filler = fill(disk)
    with pytest.raises(MinipaasError, match=r"cannot (open|write) the registry") as caught:
        Registry.open(disk / "registry.db")
    assert caught.value.hint
    registry = Registry.open(disk / "registry.db", on_full=store.release_ballast)
    await serve(registry, release(2))
    assert not store.ballast.held
    await registry.close()
    filler.unlink()


async def readonly(disk: Path) -> None:
    """A disk that was remounted read-only, as the kernel does after an error."""
    registry = Registry.open(disk / "registry.db")
    await serve(registry, release(1))
    await registry.close()
    remount(disk, "ro")
    with pytest.raises(MinipaasError, match="cannot open the registry") as caught:
        Registry.open(disk / "registry.db")
    assert caught.value.hint
    remount(disk, "rw")


async def upload(disk: Path) -> None:
    """An upload that does not fit says NoSpace and leaves nothing; what was there stays, and fits again later."""
    store = BlobStore(disk, ballast=0)
    kept = put_blob(store, b"kept")
    with pytest.raises(NoSpace), store.stage() as staging:
        blob = staging.create(digest("big"), 1)
        while True:
            blob.write(os.urandom(65536))
    assert list((disk / "staging").iterdir()) == []
    assert store.open(kept).read() == b"kept"
    assert put_blob(store, b"small") != kept


CASES = {"full": full, "start": start, "ballast": ballast, "readonly": readonly, "upload": upload}
asyncio.run(CASES[sys.argv[1]](Path(sys.argv[2])))
print("held")

"""What the store does on a disk of 1 MiB, in a mount of its own: python -m tests.telemetry.full_disk DIRECTORY"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from minipaas.telemetry.limits import TIERS
from minipaas.telemetry.store import Store
from tests.telemetry.made import T0
from tests.telemetry.test_store import frame

NOW = int(T0)


def fill(disk: Path) -> Path:
    """Leave not one block free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk has no end")


async def main(disk: Path) -> None:
    """Points wait in memory while there is no room, and are written when there is."""
    store = Store(disk / "metrics.db")
    store.add(TIERS[0], NOW, frame(1))
    await store.flush(NOW)
    filler = fill(disk)
    for number in range(1, 5000):
        store.add(TIERS[0], NOW + 10 * number, frame(number))
    await store.flush(NOW)
    assert not (disk / "metrics.db.damaged").exists()
    filler.unlink()
    await store.flush(NOW)
    found = await store.app("shop", TIERS[0], NOW, NOW + 50_000)
    assert len(found) == 5000, len(found)
    await store.close(NOW)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    print("held")

"""A box that is killed: accepts releases and writes journal rows, and says on stdout what it was told is done.

python -m tests.registry.crasher REGISTRY FIRST
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from minipaas.registry.registry import Registry
from tests.registry.made import accept, finish, release


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def main(path: Path, first: int) -> None:
    registry = Registry.open(path)
    say("open")

    async def upkeep() -> None:
        while True:
            row = await registry.begin_step(None, "shop", "SetRoutes", "route", 1.0)
            say(f"step {row}")

    async def uploads() -> None:
        sequence = first
        while True:
            change = await accept(registry, release(sequence))
            say(f"release {sequence}")
            row = await registry.begin_step(change.id, "shop", "PullImage", "pull", 1.0)
            await registry.end_step(row, True, f"pulled for {sequence}", 2.0)
            say(f"done {row}")
            if sequence % 2:
                await finish(registry, change)
                say(f"good {sequence}")
            sequence += 1

    await asyncio.gather(upkeep(), uploads())


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

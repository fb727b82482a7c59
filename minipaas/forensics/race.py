"""Several things at once, of which the first that ends, ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def first(**works: Coroutine[object, object, None]) -> str:
    """Run all until one has ended, and cancel the others. Returns the name of the one that ended first, in the order in
    which they are given where several did; raises what it raised."""
    tasks = {name: asyncio.create_task(work, name=name) for name, work in works.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for name, task in tasks.items():
            if task.done():
                task.result()
                return name
        raise AssertionError("wait returned, and nothing is done")
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

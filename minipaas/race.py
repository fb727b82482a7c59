"""Several things at once, of which the first that ends, ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def race(**works: Coroutine[Any, Any, Any]) -> tuple[str, Any]:
    """Run all until one has ended, and cancel the others. Returns the name and the result of the one that ended first,
    in the order in which they are given where several did; raises what it raised."""
    tasks = {name: asyncio.create_task(work, name=f"race: {name}") for name, work in works.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        name, task = next((name, task) for name, task in tasks.items() if task.done())
        return name, task.result()
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

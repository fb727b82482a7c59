"""Wait for whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def race(**waits: Coroutine[Any, Any, Any]) -> tuple[str, Any]:
    """The name and the result of the first to end, in the order given when several have; the others are cancelled.
    Raises what the first raised."""
    tasks = {name: asyncio.create_task(wait, name=f"race: {name}") for name, wait in waits.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        name, task = next((name, task) for name, task in tasks.items() if task.done())
        return name, task.result()
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

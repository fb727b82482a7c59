"""Looks at what was changed, after somebody has left."""

from __future__ import annotations

import asyncio

from minipaas.forensics.looks import Looks
from minipaas.model.errors import EngineError


class Instances:
    """Looked at in a moment; `gone` cannot be."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.looks = Looks(self.look)

    async def look(self, container: str) -> None:
        if container == "gone":
            raise EngineError("cannot list changed files: it is gone", code="engine.missing")
        await asyncio.sleep(0)
        self.seen.append(container)

    async def done(self) -> None:
        """Until nobody looks any more."""
        looking = [task for task in asyncio.all_tasks() if task.get_name().startswith("look at")]
        await asyncio.gather(*looking, return_exceptions=True)


async def test_who_come_and_go_at_once_cause_one_look() -> None:
    there = Instances()
    for container in ("a", "gone", "a", "b", "a"):
        there.looks.after(container)
    await there.done()
    assert sorted(there.seen) == ["a", "b"]
    there.looks.after("gone")
    there.looks.after("a")
    await there.done()
    assert sorted(there.seen) == ["a", "a", "b"]


async def test_nobody_looks_when_the_box_stops() -> None:
    there = Instances()
    there.looks.after("a")
    there.looks.close()
    there.looks.after("b")
    await there.done()
    assert there.seen == []

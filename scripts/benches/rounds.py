"""CPU milliseconds of reconcile rounds that have nothing to do, as a JSON list."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from benches.many import fake_process, running
from minipaas.control.lanes import Lanes

APPS = 10


async def measure(directory: Path, image: str, instances: int, runs: int) -> list[float]:
    """Bring everything up, then count the CPU time of rounds that find nothing to do."""
    taken = []
    async with (
        running(directory, image, APPS, instances // APPS) as (registry, reconciler, executor),
        asyncio.TaskGroup() as group,
    ):
        lanes = Lanes(registry, executor, group, lambda: None)
        for _ in range(runs):
            began = time.process_time()
            await reconciler.round(lanes)
            taken.append((time.process_time() - began) * 1000)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="minipaas-rounds-") as name, fake_process(Path(name)) as image:
        print(json.dumps(asyncio.run(measure(Path(name), image, asked.instances, asked.runs))))


if __name__ == "__main__":
    main()

"""Servers of others that a test starts: they listen when the test goes on, and end with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

START = 60.0
"""Seconds that one may take to listen."""


@contextlib.asynccontextmanager
async def listening(here: Path, *command: str, ports: tuple[int, ...], **more: str) -> AsyncIterator[None]:
    """Run it in this directory, which is its home too, until it listens on these ports of 127.0.0.1, and end it
    afterwards. What it says is in the file `said`; `more` is for its environment."""
    env = {"PATH": os.environ["PATH"], "HOME": str(here), **more}
    with (here / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(*command, cwd=here, env=env, stdout=said, stderr=said)
    try:
        async with asyncio.timeout(START):
            for port in ports:
                await _there(process, here / "said", port)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _there(process: asyncio.subprocess.Process, said: Path, port: int) -> None:
    while True:
        assert process.returncode is None, said.read_text()  # noqa: ASYNC240 - the end of the test
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return

"""A piece of a test on a network of its own: only loopback is there, every port is free, and names lead where it says.

It runs in a thread that has left the network and the mounts of the others (namespaces(7)); what it starts, threads and
programs, is there with it. When the thread ends, all of it is gone. For root.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
_HOSTS = Path("/etc/hosts")


class Names:
    """What host names lead to, there alone. Each way of asking, also of programs in Go, looks into this file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    def lead(self, names: Mapping[str, str]) -> None:
        """From now on exactly these lead somewhere."""
        self._path.write_text("".join(f"{address} {name}\n" for name, address in names.items()))


def apart(story: Callable[[Names], Awaitable[None]], directory: Path) -> None:
    """Run `story` there, on an event loop of its own. `directory` keeps a file for it. Raises what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            names = _leave(directory)
            asyncio.run(_told(story, names))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="apart")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


async def _told(story: Callable[[Names], Awaitable[None]], names: Names) -> None:
    await story(names)


def _leave(directory: Path) -> Names:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"no network of its own: {os.strerror(ctypes.get_errno())}")
    names = Names(directory / "hosts")
    for command in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "--bind", str(directory / "hosts"), str(_HOSTS)),
        ("ip", "link", "set", "lo", "up"),
    ):
        subprocess.run(command, check=True, timeout=30)
    names.lead({"localhost": "127.0.0.1"})
    return names

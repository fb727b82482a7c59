"""What the service manager is told (sd_notify(3)), and the sign of life that it waits for (sd_watchdog_enabled(3))."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

from minipaas.model.errors import MinipaasError

log = logging.getLogger("minipaas")


def notify(*states: str) -> None:
    """Tell the service manager, if there is one that listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.connect("\0" + path[1:] if path.startswith("@") else path)
            channel.send("\n".join(states).encode())


def reloading() -> None:
    """A hand-over begins; `READY=1` ends it. The time is what Type=notify-reload asks for."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Seconds between two signs of life, half of what the service manager waits; None: it does not wait for any."""
    given = environ.get("WATCHDOG_USEC", "")
    for_whom = environ.get("WATCHDOG_PID", "")
    if not given.isdigit() or not int(given) or (for_whom and for_whom != str(os.getpid())):
        return None
    return int(given) / 2_000_000


async def watch(interval: float, alive: Callable[[], Awaitable[object]], tell: Callable[[], None]) -> None:
    """`tell` at once, as the program that this process was before may have told long ago; then every `interval`
    seconds, if `alive` returned before the next is due. A box that is stuck says nothing, and is started again."""
    tell()
    told = False
    while True:
        await asyncio.sleep(interval)
        try:
            async with asyncio.timeout(interval):
                await alive()
        except (TimeoutError, MinipaasError) as error:
            if not told:
                log.error("no sign of life to the service manager: %s", error or "the registry does not answer")
            told = True
        else:
            told = False
            tell()

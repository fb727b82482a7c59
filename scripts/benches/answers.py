"""When the first right answer came."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator

from kit.box import BoxError, fetch


@contextlib.contextmanager
def first_answer(port: int, host: str, mark: str, path: str = "/") -> Iterator[Callable[[], float]]:
    """Ask every few milliseconds, beginning now; the function gives the seconds to the first 200 that holds `mark`."""
    began = time.monotonic()
    found = threading.Event()
    taken: list[float] = []

    def ask() -> None:
        while not found.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = fetch(port, path, host=host, timeout=5)
                if answer.status == 200 and mark in answer.text:
                    taken.append(time.monotonic() - began)
                    found.set()
                    return
            time.sleep(0.005)

    def seconds() -> float:
        if not found.wait(120):
            raise BoxError(f"no answer from {host or port} within 120 s")
        return taken[0]

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    try:
        yield seconds
    finally:
        found.set()
        asker.join(10)

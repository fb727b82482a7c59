"""`minipaas` and `python -m minipaas`: hands the command line what only the composition root may give it."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from minipaas import program
from minipaas.surface.cli.main import run

if TYPE_CHECKING:
    from minipaas.model.config import Config


LAST_WAIT = 1.0
"""Seconds that threads have for their end."""


def _serve(config: Config, data: Path) -> int:
    """Run the box until it is told to stop; the exit code. Imports the whole program, so only here."""
    from minipaas.app import serve

    return serve(config, data)


def main() -> None:
    """The entry point: never returns, never shows a stack trace (unless MINIPAAS_DEBUG is set)."""
    leave(run(sys.argv[1:], serve=_serve))


def leave(code: int) -> NoReturn:
    """End the process. A thread that still waits for Podman, which may take minutes to stop a container, is not waited
    for: whatever has to last is on the disk already."""
    until = time.monotonic() + LAST_WAIT
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    for thread in others:
        thread.join(max(0.0, until - time.monotonic()))
    program.leave()
    if any(thread.is_alive() for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()

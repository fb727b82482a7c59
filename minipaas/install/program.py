"""This running program as something to install: the one file, or the directory that it was unpacked into."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from minipaas.install.archive import INSIDE, unpack
from minipaas.install.failures import explained
from minipaas.install.layout import Layout, Version
from minipaas.model.errors import Invalid


class Program(Struct, frozen=True):
    """Where the program lies, and in which form."""

    executable: Path
    unpacked: bool
    """It is the program of a directory, not the one file."""

    @property
    def installed(self) -> tuple[Layout, Version] | None:
        """The layout and the version that it runs from; None when it was not installed."""
        return Layout.holding(self.executable) if self.unpacked else None

    @contextlib.contextmanager
    def tree(self, near: Path) -> Iterator[Path]:
        """The unpacked program; from the one file it is made in a temporary directory below `near`, a directory on the
        disk that it goes to, and removed afterwards."""
        if self.unpacked:
            yield self.executable.parent
            return
        with explained(f"unpack minipaas in {near}"):
            directory = tempfile.TemporaryDirectory(prefix=".unpack-", dir=near, ignore_cleanup_errors=True)
        with directory as name:
            unpack(self.executable, Path(name))
            yield Path(name)


def running() -> Program:
    """This program. Raises Invalid when it runs from its sources."""
    if not getattr(sys, "frozen", False):
        raise Invalid(
            "cannot install: this minipaas runs from its sources, and they stay where they are",
            hint="build the one file and install that: scripts/build && dist/minipaas install",
            code="install.sources",
        )
    executable = Path(sys.executable).resolve()
    data = Path(getattr(sys, "_MEIPASS", "")).resolve()
    return Program(executable, unpacked=data == executable.parent / INSIDE)

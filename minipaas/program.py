"""This program as files: how to start it again, where its tree is, and the environment that its children get.

It runs in one of three forms, and `form()` says which: from the sources; as a program tree (`TREE/minipaas`, what
`minipaas install` lays out); as the one file, which unpacks the same tree into a private directory for as long as it
runs. What always holds: a child of ours never sees the library path or the markers that the built program is started
with (they would make podman, newuidmap or a shell load our libraries); the unpacked tree of the one file is gone when
the process has ended by `leave()`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from pathlib import Path

_FILE = "_MINIPAAS_FILE"
"""Set by buildspec/launcher.c: the one file that was started. Taken out of the environment by `begin`."""
_MARKERS = ("_PYI_", "LD_LIBRARY_PATH_ORIG", "PYINSTALLER_", _FILE)
"""Beginnings of the names that the launcher and PyInstaller's bootloader leave behind."""

_one_file: Path | None = None


class Form(StrEnum):
    """What was started."""

    SOURCES = "sources"
    TREE = "tree"
    FILE = "file"


def begin() -> None:
    """Called once, first of all, by the built program (buildspec/entry.py)."""
    global _one_file  # noqa: PLW0603 - what the process was started as, known only here
    started = os.environ.get(_FILE)
    _one_file = Path(started) if started else None
    here = tree()
    if here is not None:
        clean(os.environ, here)
        sys.executable = str(here / "minipaas")


def clean(environment: MutableMapping[str, str], built: Path) -> None:
    """Take back what the start of the built program in `built` has put into an environment; leave all else."""
    path = environment.pop("LD_LIBRARY_PATH", None)
    for name in [name for name in environment if name.startswith(_MARKERS)]:
        del environment[name]
    ours = f"{built}/"
    kept = [part for part in (path or "").split(":") if part and not part.startswith(ours)]
    if kept:
        environment["LD_LIBRARY_PATH"] = ":".join(kept)


def form() -> Form:
    """How this process was started."""
    if _one_file is not None:
        return Form.FILE
    return Form.TREE if tree() is not None else Form.SOURCES


def command() -> tuple[str, ...]:
    """The words that start this very program again; arguments follow them.

    They name the tree or file that this process was started from, also where a link to it has been switched since.
    """
    if _one_file is not None:
        return (str(_one_file),)
    here = tree()
    return (str(here / "minipaas"),) if here is not None else (sys.executable, "-m", "minipaas")


def tree() -> Path | None:
    """The directory with the whole program, ready to be copied: `minipaas` in it starts it. None from the sources."""
    # PyInstaller: TREE/lib/parts
    parts = getattr(sys, "_MEIPASS", None)
    return Path(parts).parents[1] if parts else None


def leave() -> None:
    """The last thing before the process ends: what the one file had unpacked goes away."""
    here = tree()
    if _one_file is not None and here is not None:
        shutil.rmtree(here, ignore_errors=True)

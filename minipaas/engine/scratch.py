"""Scratch directories: what a container sees at /tmp and /var/tmp lies in DATA/scratch/<container name>/, so that it
is still there when the container has died. Each is world-writable and sticky, like the originals."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from minipaas.engine.body import SCRATCH
from minipaas.model.errors import EngineError

_UNSHARE_DEADLINE = 120


class Scratch:
    """The directories of all containers of one box. Synchronous: call it from a thread."""

    def __init__(self, data: Path) -> None:
        self.root = data / "scratch"

    def path(self, name: str) -> Path:
        """Where the directories of this container are. Raises EngineError for a name that leaves the root."""
        if not name or "/" in name or name in (".", ".."):
            raise EngineError(f"cannot use {name!r} as a container name")
        return self.root / name

    def make(self, name: str) -> Path:
        """Fresh, empty directories. Raises OSError."""
        self.remove(name)
        base = self.path(name)
        self.root.mkdir(mode=0o711, exist_ok=True)
        base.mkdir(mode=0o711)
        for directory in SCRATCH.values():
            (base / directory).mkdir()
            (base / directory).chmod(0o1777)
        return base

    def exists(self, name: str) -> bool:
        """Whether there is scratch under this name."""
        return self.path(name).exists()

    def remove(self, name: str) -> None:
        """Delete a container's scratch; fine when there is none. Raises OSError, EngineError."""
        base = self.path(name)
        try:
            shutil.rmtree(base)
        except FileNotFoundError:
            return
        except PermissionError:
            _remove_as_container_users(base)


def _remove_as_container_users(base: Path) -> None:
    """Without root, files of a container's other users belong to ids that only `podman unshare` may touch."""
    podman = shutil.which("podman")
    if podman is None:
        raise EngineError(
            f"cannot delete {base}: it holds files of other users", hint="run `podman unshare rm -rf` on it"
        )
    try:
        done = subprocess.run(
            [podman, "unshare", "rm", "-rf", "--", str(base)],
            capture_output=True,
            timeout=_UNSHARE_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"cannot delete {base}: it took too long") from None
    if done.returncode != 0:
        raise EngineError(f"cannot delete {base}: {done.stderr.decode(errors='replace').strip()}")

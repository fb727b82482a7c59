"""Ballast: disk set aside while there is plenty, so that a full disk leaves room to act. It is freed when a write finds
no space, and put back when there is plenty again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from minipaas.registry.limits import BALLAST, BALLAST_MARGIN


class Ballast:
    """A preallocated file. Every call is safe from any thread."""

    def __init__(self, path: Path, size: int = BALLAST) -> None:
        self.path = path
        self.size = size

    @property
    def held(self) -> bool:
        """Whether the space is set aside now."""
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def release(self) -> bool:
        """Free the space; returns whether there was any to free."""
        if not self.held:
            return False
        # Truncated first: an open descriptor elsewhere cannot keep the space then.
        try:
            os.truncate(self.path, 0)
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def restore(self) -> bool:
        """Set the space aside again if that leaves enough free; returns whether it is held now."""
        if self.held or self.size == 0:
            return self.held
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.path.parent).free < self.size * BALLAST_MARGIN:
            return False
        partial = self.path.with_name(self.path.name + ".tmp")
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self.size)
        except OSError:
            # Somebody else was quicker to take the space. Without ballast is how it was before.
            partial.unlink(missing_ok=True)
            return False
        finally:
            os.close(fd)
        partial.rename(self.path)
        return True

"""What one look at the living may cost: so long, and so many bytes of the host's /proc.

What always holds: nothing is read beyond either, and what was left out for it is named once. Blocking, for a thread.
"""

from __future__ import annotations

import time
from pathlib import Path

from minipaas.forensics import limits


class Reading:
    """One look. `missing`: what could not be read, and why, in the order in which it was met."""

    def __init__(self) -> None:
        self.missing: dict[str, None] = {}
        self.left = limits.LOOK_BYTES
        self._until = time.monotonic() + limits.LOOK

    def lacks(self, what: str) -> None:
        """This could not be read."""
        self.missing[what] = None

    def over(self, what: str) -> bool:
        """Whether nothing more may be read; `what`: that which is left out then."""
        if self.left <= 0:
            self.lacks(f"{what}: there is more than {limits.LOOK_BYTES // 1024**2} MiB to read in all")
        elif time.monotonic() > self._until:
            self.lacks(f"{what}: not read within {limits.LOOK:g} s")
        else:
            return False
        return True

    def read(self, path: Path, most: int = limits.LOOK_FILE) -> str:
        """At most so many bytes of a file. Raises OSError."""
        with path.open("rb", buffering=0) as file:
            data = b""
            while len(data) < most and (piece := file.read(most - len(data))):
                data += piece  # /proc gives a page or so at once
        self.left -= len(data)
        return data.decode(errors="replace")

    def word(self, path: Path) -> str:
        """A short file; empty when it cannot be read."""
        try:
            return self.read(path).strip()
        except OSError:
            return ""

"""Which file system a directory lies on, and how much room there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from msgspec import Struct

from minipaas.install import files

REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs", "lustre"})
"""Where neither SQLite's locks nor overlay's layers can be relied on."""
VOLATILE = frozenset({"tmpfs", "ramfs"})


class Disk(Struct, frozen=True, kw_only=True):
    """A mounted file system, as seen from a directory on it."""

    path: Path
    """The directory, or the nearest above it that there is."""
    kind: str
    read_only: bool
    free: int
    """Bytes, for an ordinary user."""
    total: int


def disk(path: Path) -> Disk:
    """What a path lies on, or would. Raises OSError."""
    while not path.is_dir():
        path = path.parent
    path = path.resolve()
    best, kind, options = -1, "", ""
    for line in files.read(Path("/proc/self/mountinfo")).splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split()
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind, options = len(point.parts), rest.split()[0], f"{words[5]},{rest.split()[-1]}"
    usage = shutil.disk_usage(path)
    return Disk(path=path, kind=kind, read_only="ro" in options.split(","), free=usage.free, total=usage.total)

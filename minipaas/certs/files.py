"""Files with secrets in them: read with a limit; written whole or not at all, for this user only."""

from __future__ import annotations

import os
from pathlib import Path


def read(path: Path, limit: int) -> bytes:
    """At most `limit` bytes. Raises OSError; ValueError when there are more."""
    with path.open("rb") as source:
        data = source.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is longer than {limit // 1024} KiB")
    return data


def write(path: Path, data: bytes) -> None:
    """Replace a file, with mode 0600; on the disk when this returns. Raises OSError, and then the old one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        beside.unlink(missing_ok=True)

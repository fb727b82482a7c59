"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from minipaas.model.errors import NoSpace


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well, and leaves no trace when it does not.

    Raises NoSpace.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NoSpace(f"cannot write {path}: no space left", hint="choose another disk with -o") from None
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A directory on the disk of `beside`, for the time of the block: uncompressed layers may be too much for /tmp."""
    with tempfile.TemporaryDirectory(prefix=".minipaas-", dir=beside.parent) as name:
        yield Path(name)

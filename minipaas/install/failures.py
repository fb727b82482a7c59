"""What the file system said, as an error that says what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from minipaas.model.errors import Forbidden, MinipaasError, NoSpace


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an OSError inside into one of ours: "cannot WHAT: why"."""
    try:
        yield
    except OSError as error:
        raise _translated(what, error) from error


def _translated(what: str, error: OSError) -> MinipaasError:
    where = f" ({error.filename})" if error.filename else ""
    why = f"cannot {what}: {error.strerror or error}{where}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(why, hint="free some space on that disk, then type this again", code="install.no_space")
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "run it as root, or for yourself alone: minipaas install --user"
        return Forbidden(why, hint=hint, code="install.permission")
    if error.errno == errno.EROFS:
        hint = "make that file system writable, or name another place: minipaas install --prefix DIR"
        return MinipaasError(why, hint=hint, code="install.read_only")
    return MinipaasError(why, hint="look at the disk: dmesg | tail", code="install.file")

"""What SQLite and the disk say, in minipaas's words: what cannot be done, why, and what to do next."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from minipaas.model.errors import MinipaasError, NoSpace

FULL_HINT = "free some space on this disk, or remove an app that is no longer needed: minipaas remove APP"
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


def safety_copies(path: Path) -> list[Path]:
    """The copies of a registry that stand beside it, newest first."""
    found = [copy for copy in path.parent.glob(path.name + ".*.copy") if copy.is_file()]
    return sorted(found, key=lambda copy: copy.stat().st_mtime, reverse=True)


def registry_failure(error: sqlite3.Error, doing: str, path: Path) -> MinipaasError:
    """`doing` is `write`, `read` or `open`. The class is NoSpace when the disk is full."""
    name = getattr(error, "sqlite_errorname", None) or ""
    why = f"cannot {doing} the registry {path}: {error}"
    if name == "SQLITE_FULL":
        return NoSpace(f"cannot {doing} the registry {path}: the disk is full", hint=FULL_HINT, code="registry.full")
    if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_NOTADB":
        return registry_corrupt(path, str(error))
    if name.startswith("SQLITE_READONLY"):
        return MinipaasError(why, hint="make the data directory writable and start again", code="registry.readonly")
    if name.startswith("SQLITE_BUSY"):
        return MinipaasError(why, hint="another program holds the file; end it", code="registry.busy")
    if name.startswith("SQLITE_CANTOPEN"):
        return MinipaasError(why, hint="look at the rights of the data directory", code="registry.open")
    if name.startswith("SQLITE_IOERR"):
        return MinipaasError(why, hint="the disk may be failing or full; look at dmesg and df", code="registry.io")
    return MinipaasError(why, code="registry.sqlite")


def registry_corrupt(path: Path, detail: str) -> MinipaasError:
    """The file is damaged: say where the newest copy is and how to go back to it."""
    copies = safety_copies(path)
    if copies:
        hint = (
            f"stop minipaas, move {path.name}, {path.name}-wal and {path.name}-shm aside, then: cp {copies[0]} {path} "
            "(what was accepted after that copy has to be deployed again)"
        )
    else:
        hint = f"stop minipaas, move {path} aside, start it and deploy the bundles again; volumes are untouched"
    return MinipaasError(
        f"cannot read the registry {path}: it is damaged: {detail}", hint=hint, code="registry.corrupt"
    )


def disk_failure(error: OSError, doing: str) -> MinipaasError:
    """An error of the file system while `doing` something (`write blob sha256:…`)."""
    if error.errno in FULL_ERRNOS:
        return NoSpace(f"cannot {doing}: the disk is full", hint=FULL_HINT, code="disk.full")
    return MinipaasError(
        f"cannot {doing}: {error.strerror or error}", hint="look at the data directory", code="disk.io"
    )

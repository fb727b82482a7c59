"""Signed-in browsers over a clean restart, a reload or an upgrade: one small file from the end of a surface to the next
start of one.

What always holds: of a session's id only its SHA-256 is in it, and nothing that a browser has to bring; the file is the
box's alone (mode 0600), is gone as soon as it was read, and counts only until the host is started anew, because
its times are those of the monotonic clock. Whatever is wrong with it, everybody signs in again, and that is all.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from minipaas.engine.info import boot_id
from minipaas.surface.sessions import Session

log = logging.getLogger("minipaas.surface")

NAME = "sessions.json"
LARGEST = 1024 * 1024
"""Bytes that are read."""

Used = tuple[Session, float]
"""A session, and when it was used last: seconds of the monotonic clock."""


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    boot: str
    sessions: tuple[Used, ...]


def put(directory: Path, sessions: tuple[Used, ...]) -> None:
    """Write them down for the next one. Never raises."""
    path = directory / NAME
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        if not sessions:
            return
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(_File(boot=boot_id(), sessions=sessions)))


def take(directory: Path) -> tuple[Used, ...]:
    """Those that were written down; the file is gone then. Never raises."""
    path = directory / NAME
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        path.unlink()
        found = msgspec.json.decode(data, type=_File)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("cannot read who was signed in: %s", error)
        return ()
    return found.sessions if found.boot == boot_id() else ()

"""Whether /etc/passwd and /etc/group of an instance differ from the image because of Podman alone.

For a user that is a number which the image does not know, Podman adds a line to them before the first start (Podman
4.3, libpod `generatePasswdAndGroup`). A file that was written later than that, or does not end with that line, was
changed by somebody else too. What cannot be read stays as it was told. Blocking, for a thread.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable

from msgspec import structs

from minipaas.forensics import limits
from minipaas.forensics.files import Reader
from minipaas.model.capsule import FileChange
from minipaas.model.errors import EngineError

_LINES = {
    "/etc/passwd": re.compile(rb"(\d+):\*:\1:\d+:container user:[^:]*:/bin/sh"),
    "/etc/group": re.compile(rb"(\d+):x:\1:[^:]*"),
}
"""What Podman adds."""


def checked(reader: Reader, container: str, created: float, changes: Iterable[FileChange]) -> list[FileChange]:
    """`changes`, and no longer as Podman's what somebody else has surely changed. `created`: when the container was
    made, Unix seconds."""
    return [
        structs.replace(one, podmans=False) if one.podmans and _others(reader, container, created, one.path) else one
        for one in changes
    ]


def _others(reader: Reader, container: str, created: float, path: str) -> bool:
    try:
        with reader.tar(container, path) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None and member.isreg() else None
            if member is None or file is None or member.size > limits.ACCOUNTS:
                return True
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
            return member.mtime > created + limits.ACCOUNTS_MADE or not _LINES[path].fullmatch(last)
    except (EngineError, tarfile.TarError):
        return False

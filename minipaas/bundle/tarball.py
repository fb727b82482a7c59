"""The tar inside: USTAR headers in the one form that is allowed, so that equal contents give equal bytes.

A member is a regular file, mode 0644, with uid, gid and mtime 0 and no owner names (POSIX.1-1988 `ustar`). A reader
builds the header that name and size ask for and compares all 512 bytes: nothing can hide in a header.
"""

from __future__ import annotations

import re
import tarfile
from typing import Final

from minipaas.bundle.refusal import refuse

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
LAYOUT: Final = "oci-layout"
INDEX: Final = "index.json"
BLOBS: Final = "blobs/sha256/"
_NAME: Final = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")
_REGULAR: Final = (b"0", b"\0")


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member of `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """The zeros after a member of `size` bytes."""
    return bytes(-size % BLOCK)


def parse_header(data: bytes, what: str) -> tuple[str, int]:
    """Name and size of a member. Raises Refused unless the header is exactly what `header` makes of them."""
    raw = data[:100].rstrip(b"\0").decode("ascii", "replace")
    shown = ascii(raw[:80])
    if data[156:157] not in _REGULAR:
        raise refuse(what, "bundle.member_type", f"the member {shown} is not a regular file")
    if not _NAME.fullmatch(raw):
        raise refuse(what, "bundle.member_name", f"it holds a member {shown}")
    try:
        size = int(data[124:135], 8)
    except ValueError:
        raise refuse(what, "bundle.tar", f"the tar header of {shown} has no readable size") from None
    if size <= 0 or header(raw, size) != data:
        raise refuse(what, "bundle.tar", f"the tar header of {shown} is not of the prescribed form")
    return raw, size


def member_name(digest: str) -> str:
    """`sha256:ab…` -> `blobs/sha256/ab…`."""
    return BLOBS + digest.removeprefix("sha256:")


def member_digest(name: str) -> str:
    """`blobs/sha256/ab…` -> `sha256:ab…`."""
    return "sha256:" + name.removeprefix(BLOBS)

"""Every size limit of the bundle format, for both sides. What is larger is refused before it is read.

Time has no limit here: the reader is given a source, and whoever gives it sets the deadline of its reads
(`[limits] upload` for an upload).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CHUNK: Final = 1 << 20
"""Bytes asked of a source at once."""
PIECE_BLOCKS: Final = 8
"""zstd blocks decompressed at once: at most 8 * 128 KiB of content in memory a piece."""
MAX_BLOCK: Final = 128 * 1024
"""RFC 8878: a block's content is at most this long."""
MAX_WINDOW: Final = 8 << 20
"""The window a frame may ask of the reader (RFC 8878 recommends to support 8 MiB)."""
MAX_BLOB: Final = (1 << 32) - 1
"""Bytes of one blob: the seek table counts in 32 bits."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a reader is willing to take from one bundle. Bytes, unless it says a count."""

    compressed: int = 8 << 30
    """The whole file."""
    content: int = 64 << 30
    """All blobs, uncompressed."""
    blobs: int = 4096
    """A count: everything under blobs/."""
    metadata_blobs: int = 1024
    """A count: what is read before the signatures are checked."""
    metadata_each: int = 4 << 20
    """index.json, a manifest, an SBOM, an image config, a signature, a root."""
    metadata_total: int = 32 << 20
    """All of these: they are held in memory."""
    signatures: int = 32
    """A count."""
    roots: int = 256
    """A count: the length of the trust root chain."""


DEFAULT_LIMITS: Final = Limits()

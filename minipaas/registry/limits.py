"""Every size, number and wait that this room bounds."""

from __future__ import annotations

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that holds the write lock."""
REMOVE_DEADLINE = 600.0
"""Seconds a removal may take."""
CHANGES_KEPT = 200
"""Finished changes an app keeps, with their journals."""
RETIRED_KEPT = 200
"""Retired releases an app keeps for its history; their blobs are gone already."""
UPKEEP_KEPT = 1000
"""Journal rows an app keeps of steps that belong to no change."""
STEPS_KEPT = 5000
"""Journal rows a single change keeps."""
DEATHS_KEPT = 1000
"""Ends of instances that an app remembers."""
AUDIT_KEPT = 100_000
"""Audit rows, for the whole box."""
OWN_TOLD = 200
"""Of what was done to minipaas itself, told beside the past of an app."""
TEXT_KEPT = 16 * 1024
"""Characters of a reason or a detail; the end is kept, because logs say it last."""
NAME_KEPT = 512
"""Characters of an actor, subject, origin or title."""
RELEASES_DECODED = 256
"""Releases held decoded in memory."""
WAL_PAGES = 250
"""Pages of 4 KiB that the write-ahead log grows to before they are written back."""
WAL_KEPT = 2 * 1024 * 1024
"""Bytes the write-ahead log keeps on disk after a checkpoint."""
COPY_INTERVAL = 86_400.0
"""Seconds between two safety copies of the registry, made at start."""
DIGEST_PREFIX = 6
"""Fewest hex digits that may stand for a digest."""
BALLAST = 64 * 1024 * 1024
"""Bytes set aside, to be freed when the disk is full."""
BALLAST_MARGIN = 4
"""The ballast is put back only when this many times its size is free."""
READ_AHEAD = 128 * 1024
"""Bytes read or decompressed at a time: one zstd block."""


def clip(text: str, most: int = NAME_KEPT) -> str:
    """The text, or its beginning."""
    return text if len(text) <= most else text[: most - 1] + "…"


def clip_end(text: str, most: int = TEXT_KEPT) -> str:
    """The text, or its end."""
    return text if len(text) <= most else "…" + text[-(most - 1) :]

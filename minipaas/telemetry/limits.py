"""Every size, number and wait that this room bounds. Seconds and bytes unless a name says otherwise."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from minipaas.model.metrics import Range

SAMPLE: Final = 10
"""Between two samples."""
MINUTE: Final = 60


class Tier(Struct, frozen=True):
    """One resolution: points of `step` seconds, kept for `keep` seconds."""

    number: int
    step: int
    keep: int


TIERS: Final = (Tier(0, SAMPLE, 3600), Tier(1, MINUTE, 86_400), Tier(2, 900, 30 * 86_400))
TIER_OF: Final = dict(zip(Range, TIERS, strict=True))

FLUSH_SAMPLES: Final = 6
"""Samples that are written in one transaction."""
PENDING_ROWS: Final = 60_000
"""Rows that wait while the disk does not take them; beyond that the oldest are given up."""
ENTRIES: Final = 512
"""Slots, and routes, of one app that are kept in a point; the rest of them is left out."""
FILE_SIZE: Final = 512 * 1024**2
"""The file never grows beyond this; when 200 apps would need more, it is begun anew."""
CLOSE: Final = 2.0
"""For the last write when the box stops; a disk that hangs is not waited for longer."""
PRUNE_EVERY: Final = 10
"""Flushes between two prunings."""

STRIP: Final = 48
STRIP_STEP: Final = 1800
RESTARTS_KEPT: Final = 200
"""Times of restarts that are remembered of an app."""
HOUR: Final = 3600
SPARK_POINTS: Final = 60
RECENT: Final = 6
"""Samples that the latencies of now are taken from."""

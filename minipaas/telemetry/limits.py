"""Every size, number and wait that this room bounds. Seconds and bytes unless a name says otherwise."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from minipaas.model.metrics import Range, Window

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


class Columns(Struct, frozen=True):
    """How a stretch of an app's past is cut: `count` columns of `step` seconds."""

    step: int
    count: int


COLUMNS_OF: Final = {
    Window.HOUR: Columns(30, 120),
    Window.DAY: Columns(600, 144),
    Window.WEEK: Columns(3600, 168),
    Window.MONTH: Columns(21_600, 120),
}

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

# Logs. Bytes and seconds.
LOG_BLOCK: Final = 128 * 1024
"""What is compressed and found as one."""
LOG_LINE: Final = 1024**2
"""A longer line becomes several."""
LOG_FILE: Final = 64 * 1024**2
"""No file that conmon writes is larger."""
LOG_AGE: Final = 600.0
"""What has been written is stored after so long at the latest; until then Podman's file keeps it."""
LOG_BATCH: Final = 16
"""Blocks in one transaction."""
LOG_BACKLOG: Final = 8 * 1024**2
"""How far an instance that writes faster than it may can be behind; the rest is dropped and counted."""
LOG_BURST: Final = 32
"""Seconds at its rate that an instance may write at once."""
LOG_LOOK: Final = 0.25
"""Between two looks at the files, while nobody waits; conmon must not fill more than one file meanwhile."""
LOG_LOOK_LIVE: Final = 0.1
"""While somebody follows, or an instance writes much."""
LOG_WRITERS: Final = 16
"""Segments that are open for writing at once."""
LOG_SEGMENTS: Final = 8
"""An app's quota is kept in so many pieces; the oldest is given up whole."""
LOG_GONE: Final = 256
"""Containers of an app that have gone and are looked for by those who follow it."""
LOG_POSITIONS: Final = 1000
"""Containers of an app whose place is known in a new segment; the latest."""
LOG_SEGMENT_LEAST: Final = 512 * 1024
LOG_PRUNE: Final = 60.0
"""Between two looks at what is too old or too much."""
LOG_LOW_DISK: Final = 64 * 1024**2
"""With less room than this, the oldest lines of all apps make way."""
LOG_PREFIX: Final = 3
"""A shorter beginning of a word is not looked up in the index: too many words begin like that."""
LOG_FOUND_BYTES: Final = 4 * 1024**2
"""Text in one answer."""
LOG_SEARCH: Final = 20.0
"""The longest search."""
LOG_SOURCES: Final = 100
"""Containers that are named to who wants to choose one."""
LOG_LAST: Final = 1024**2
"""What is read of the end of a container's file for its last lines."""
LOG_CLOSE: Final = 5.0
"""For storing what is left when the box stops; what is not stored by then is read from Podman's files again."""
LOG_MUCH: Final = 256 * 1024
"""A round that has stored so much is soon followed by another."""

# Shipping of logs. Bytes and seconds.
SHIP_LINES: Final = 5000
"""In one batch."""
SHIP_SHARE: Final = 256 * 1024
"""Of a batch that one app fills while others wait."""
SHIP_LOOK: Final = 30.0
"""All apps are looked at after so long, whether they have news or not."""
SHIP_NOTICE: Final = 0.5
"""What is to be noticed is noticed after so long at the latest."""
SHIP_CONNECT: Final = 20.0
SHIP_ANSWER: Final = 60.0
"""For sending a batch and reading the answer, beyond what the rate needs."""
SHIP_ANSWER_BYTES: Final = 8 * 1024**2
SHIP_PIECE: Final = 64 * 1024
"""Of a batch that is given to the network at once."""
SHIP_PAUSE: Final = 1.0
"""After the first failure; each further one doubles it."""
SHIP_LONGEST_PAUSE: Final = 120.0
SHIP_LONGEST_WISH: Final = 600.0
"""What a destination may ask for (Retry-After)."""
SHIP_SPLITS: Final = 32
"""Requests that are spent on finding the lines of one batch that a destination does not want."""
SHIP_DOUBTS: Final = 16
"""So many refusals of whole requests, none taken in between, and it is given up for now; enough to halve a batch down
to one line."""
SHIP_SETTLE: Final = 5.0
"""Syslog has no answers: what was received there is believed to be safe when the connection lives on for so long."""
SHIP_CLOSE: Final = 3.0
"""For the answer to what is under way when the box stops."""
SHIP_MESSAGE: Final = 8000
"""Text of one syslog message; receivers take 8 KiB as a rule (RFC 5424, 6.1). A longer line becomes several."""
SHIP_SECRET: Final = 16 * 1024
"""Of a file of credentials."""
SHIP_CHEW: Final = 64
"""Lines that are worked on in one go, before the event loop gets its turn."""
SHIP_LOSING: Final = 86_400.0
"""So long the box says of itself that lines were lost."""
SHIP_WHY: Final = 300
"""Characters of what a destination says that are told."""

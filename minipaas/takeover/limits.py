"""Every wait and size of a hand-over, in one place. Seconds."""

from __future__ import annotations

from typing import Final

START: Final = 60.0
"""From the start of the new program to its first word."""
BEAT: Final = 2.0
"""A process that serves for another one gives a sign of life this often."""
HUNG: Final = 30.0
"""Without one for so long it is taken for dead."""
UPLOADS: Final = 60.0
"""Uploads under way may take so long to end before a hand-over goes on without them."""
FIRST_LOOK: Final = 15.0
"""The new process may look at the apps for so long before it opens: the old one still serves."""
STOP: Final = 20.0
"""From SIGTERM to SIGKILL of a process that is no longer wanted."""
GLANCE: Final = 0.05
"""Between two looks whether a process has ended."""
AGAIN: Final = (1.0, 5.0, 15.0, 60.0)
"""Pauses before taking the box back is tried again."""
CRASHES: Final = 2
"""A version on trial that has crashed so often is gone back from."""
LAST_LINES: Final = 20
"""Lines of what a failed program wrote that are kept."""
LINE: Final = 2000
"""Characters of a line that are kept."""
MESSAGE: Final = 1024**2
"""Bytes of one message between two processes."""
LINK: Final = 5.0
"""For the link to the current version another install may hold us up so long."""
TRY: Final = 60.0
"""A program that only says its version has so long."""
PROGRAM: Final = 512 * 1024**2
"""Bytes of an unpacked program."""
MARGIN: Final = 64 * 1024**2
"""Bytes of disk that must stay free."""
FILES: Final = 20_000
PIECE: Final = 1024**2

"""Every bound of this room in one place. Seconds and bytes unless a name says otherwise."""

from __future__ import annotations

from typing import Final

KEPT_LEASES: Final = 1000
"""Leases that are over and still told of."""
LEASE_FILE: Final = 16 * 1024
"""Largest file about one."""
WARNING: Final = 60.0
"""So long before its end a lease says that it ends."""
RECORDING: Final = 16 * 1024**2
"""Longest recording of one session; what comes after is not kept, and it says so."""
WRITE_EVERY: Final = 1.0
"""A recording is on disk by then, as far as a kill of minipaas is concerned."""
PIECE: Final = 64 * 1024
"""So much of a recording is written at once."""
SHOWN: Final = 200
"""Characters of a reason, a program or a path that are kept."""

"""What this box knows of the time: the clock, whether it is in sync, and the floor below which it cannot be."""

from __future__ import annotations

import ctypes
import time
from importlib import resources

from minipaas.model.release import TrustedTime

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); with `modes` 0 the call only reads, so the rest is room for the kernel."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_byte * 1020))


def clock_synced() -> bool:
    """Whether the kernel says that something (NTP, PTP, GPS) keeps the clock right."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = int(libc.adjtimex(ctypes.byref(_Timex())))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR


def build_date() -> int:
    """When this copy of minipaas was built, Unix seconds; 0 when run from its sources."""
    stamp = resources.files("minipaas") / "build_date.txt"
    return int(stamp.read_text()) if stamp.is_file() else 0


def trusted_time(floor: int) -> TrustedTime:
    """The time for verification. `floor`: the newest accepted `issued`, Unix seconds."""
    return TrustedTime(clock=time.time(), floor=float(max(floor, build_date())), synced=clock_synced())

"""What a container has used so far, as counters that only its next start sets back."""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """One container at one instant. None: this host does not tell."""

    cpu: float
    """Seconds of one core, user and system."""
    memory: int
    """Bytes now, without the file cache that the kernel can take back at once (as `docker stats` and the kubelet
    count)."""
    peak: int | None = None
    """The most bytes ever, file cache included."""
    received: int | None = None
    """Bytes over its network, as the container sees it."""
    sent: int | None = None
    read: int | None = None
    """Bytes from block devices."""
    written: int | None = None
    pids: int | None = None
    """Processes and threads now."""
    ooms: int | None = None
    """Processes that the kernel has killed for memory."""

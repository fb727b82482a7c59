"""What the kernel's own log says of a container: whether it has killed something in it for memory.

Podman says so too, but not with cgroups v1, where conmon does not see it. Where the log may not be read (rootless, no
/dev/kmsg) nothing is known. Source: Documentation/ABI/testing/dev-kmsg; dump_oom_summary in mm/oom_kill.c.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from minipaas.engine import limits

_KMSG = Path("/dev/kmsg")


def killed_for_memory(container: str, log: Path = _KMSG) -> bool:
    """Whether the limit of this container (Podman's whole id) was what something was killed for, as far as the kernel
    remembers. Blocking for a few milliseconds."""
    said = re.compile(rb"oom-kill:[^\n]*\boom_memcg=[^,\n]*" + re.escape(container.encode()))
    return said.search(_read(log)) is not None


def _read(log: Path) -> bytes:
    found = bytearray()
    try:
        file = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        while len(found) < limits.KERNEL_LOG:
            try:
                piece = os.read(file, limits.KERNEL_RECORD)
            except BrokenPipeError:
                continue  # the record was written over in the meantime; the next read goes on behind it
            if not piece:
                break
            found += piece
    except OSError:
        pass  # BlockingIOError: that was the last one
    finally:
        os.close(file)
    return bytes(found)

"""Who has made something that outlives a process when it is killed: that process, in a word, so that the next one can
tell whether it is still there.

    BOOT-NAMESPACE-PID-STARTED      the kernel's boot id (8 digits), the pid namespace, and proc_pid_stat(5), field 22

A process of another pid namespace cannot be seen from here; what belongs to it is left alone until the next boot.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from minipaas.engine.info import boot_id

_OWNER = re.compile(r"([0-9a-f]{8})-([0-9]{1,20})-([0-9]{1,10})-([0-9]{1,20})")


def this_process() -> str:
    """Us."""
    return f"{_boot()}-{_namespace()}-{os.getpid()}-{_started(os.getpid())}"


def gone(owner: str) -> bool:
    """Whether such a process is surely not there any more. What is no owner's name is nobody's."""
    parts = _OWNER.fullmatch(owner)
    if parts is None or parts[1] != _boot():
        return True
    return parts[2] == _namespace() and parts[4] != _started(int(parts[3]))


def _boot() -> str:
    return boot_id()[:8] or "00000000"


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"

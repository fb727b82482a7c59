"""Why an instance ended, in a word and a sentence, and which ends are the same."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Sequence
from itertools import groupby

from minipaas.model.capsule import Cause
from minipaas.model.observed import Instance

_VARIES = re.compile(
    r"""0x[0-9a-fA-F]+ | [0-9a-fA-F]{8,} | \d+ | (?<=["'])[^"']*(?=["'])""",
    re.VERBOSE,
)
"""What differs between two lines that say the same: addresses, ids, numbers, times, quoted names."""
_LINES = 3


def cause_of(instance: Instance, stopped: str) -> tuple[Cause, str, str]:
    """Cause, signal and sentence. `stopped`: why minipaas stopped it; empty: nobody did."""
    code = instance.exit_code or 0
    name = signal_name(code)
    if stopped:
        return Cause.HEALTH, "", stopped
    if instance.oom_killed:
        return Cause.MEMORY, name, "the kernel killed it: it wanted more memory than its limit"
    if name:
        return Cause.SIGNAL, name, f"ended by {name}"
    return Cause.EXIT, "", f"exit code {code}"


def signal_name(code: int) -> str:
    """`SIGSEGV` for the exit code 139, as shells and Podman count; empty for a code of the program's own."""
    if not 128 < code < 193:
        return ""
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return f"signal {code - 128}"


def group_of(app: str, service: str, cause: Cause, code: int | None, last_words: Sequence[str]) -> str:
    """The same for equal failures: what varies in the last lines of the log does not count, nor how often one after the
    other says the same."""
    said = [_VARIES.sub("#", line).strip() for line in last_words if line.strip()]
    said = [line for line, _ in groupby(said)][-_LINES:]
    code = None if cause is Cause.HEALTH else code  # whether it ended by itself or was killed then says nothing
    text = "\n".join([app, service, cause, str(code), *said])
    return hashlib.sha256(text.encode()).hexdigest()[:12]

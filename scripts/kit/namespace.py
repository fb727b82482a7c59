"""A mount namespace that a process of ours holds, for commands to run in.

What always holds: what is mounted in there is mounted nowhere else, and is gone with the last process in it.
"""

from __future__ import annotations

import subprocess


class NamespaceError(Exception):
    """A mount namespace cannot be made; the text is what the shell said of it."""


def hold(setup: str, *words: str, last: str = "sleep infinity") -> subprocess.Popen[bytes]:
    """A process in a mount namespace of its own, once the shell script `setup` has made it what it is to look like;
    `words` are that script's $0, $1, …, and the process goes on as the command `last`, which may name them."""
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f"{setup}\necho\nexec {last}", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdout is not None and holder.stderr is not None  # noqa: S101 - they are pipes
    if not holder.stdout.readline():
        why = holder.stderr.read().decode(errors="replace").strip()
        holder.wait()
        raise NamespaceError(why)
    return holder


def into(pid: int) -> tuple[str, ...]:
    """Words that run a command in the mount namespace of a process."""
    return ("nsenter", f"--mount=/proc/{pid}/ns/mnt")

"""What the process of a box is set to: how many files it may open, how freely it takes memory, what its collector of
cycles looks at, whether it ends with the process that started it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
from collections.abc import Callable

DESCRIPTORS = 65536
"""Descriptors that the box asks for, where it may have as many."""
ARENAS = 2
"""Heaps that its threads share. Left alone, glibc gives each thread one of its own (mallopt(3), M_ARENA_MAX), and what
a thread has once needed for an upload stays there."""
_M_ARENA_MAX = -8
_PR_SET_PDEATHSIG = 1


def settle() -> None:
    """Set both; once, before threads are started."""
    _raise_descriptor_limit()
    with contextlib.suppress(AttributeError):  # a libc without mallopt
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def ripen() -> None:
    """What is there now, stays: the collector of cycles need not walk through it each time, which would hold up every
    request for 20 ms and more (gc.freeze). Once, when the box is open."""
    gc.freeze()


def give_back() -> None:
    """Give the pages that nothing is on back to the kernel (malloc_trim(3)); takes some milliseconds."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def ending_with_us() -> Callable[[], None]:
    """For `preexec_fn` of a child: it is killed when this process ends, whatever it does at that time and however badly
    it was built (prctl(2), PR_SET_PDEATHSIG; execve(2) of either keeps that). Everything is looked up before the fork:
    the child of a process with threads may do next to nothing."""
    prctl, ours, getppid, leave = ctypes.CDLL(None).prctl, os.getpid(), os.getppid, os._exit

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if getppid() != ours:  # it has ended already
            leave(1)

    return tie


def end_by_itself() -> None:
    """What `ending_with_us` did to this process is undone: it will notice, and end in its own way."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def _raise_descriptor_limit() -> None:
    """The usual soft limit of 1024 is for programs that use select(2); a proxy needs two descriptors a request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

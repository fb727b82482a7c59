"""What the process of a box is set to before it begins: how many files it may open, how freely it takes memory."""

from __future__ import annotations

import contextlib
import ctypes
import resource

DESCRIPTORS = 65536
"""Descriptors that the box asks for, where it may have as many."""
ARENAS = 2
"""Heaps that its threads share. Left alone, glibc gives each thread one of its own (mallopt(3), M_ARENA_MAX), and what
a thread has once needed for an upload stays there."""
_M_ARENA_MAX = -8


def settle() -> None:
    """Set both; once, before threads are started."""
    _raise_descriptor_limit()
    with contextlib.suppress(AttributeError):  # a libc without mallopt
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Give the pages that nothing is on back to the kernel (malloc_trim(3)); takes some milliseconds."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _raise_descriptor_limit() -> None:
    """The usual soft limit of 1024 is for programs that use select(2); a proxy needs two descriptors a request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

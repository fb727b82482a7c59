"""What a person sees while something takes its time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def _terminal() -> bool:
    return sys.stdout.isatty()


def paint(text: str, code: str) -> str:
    """ANSI colour on a terminal, plain text elsewhere."""
    return f"\033[{code}m{text}\033[0m" if _terminal() else text


def say(text: str = "") -> None:
    """One line, now."""
    print(text, flush=True)


class Step:
    """What a step found out; shown behind its title."""

    detail = ""


@contextmanager
def step(title: str, *, slow: str = "") -> Iterator[Step]:
    """`✓ title  detail  1.2 s`, or `✗ title`; while it runs a terminal shows `… title (slow)`."""
    began = time.monotonic()
    note = f" ({slow})" if slow else ""
    if _terminal():
        print(f"  … {title}{note}", end="\r", flush=True)
    elif slow:
        say(f"  … {title}{note}")
    told = Step()
    try:
        yield told
    except BaseException:
        say(f"\033[2K  {paint('✗', '31')} {title}" if _terminal() else f"  ✗ {title}")
        raise
    took = time.monotonic() - began
    span = f"{took:.1f} s" if took >= 0.1 else ""
    line = "  ".join(part for part in (f"{paint('✓', '32')} {title}", told.detail, paint(span, "90")) if part)
    say(f"\033[2K  {line}" if _terminal() else f"  {line}")

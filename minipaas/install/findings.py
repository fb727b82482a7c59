"""What a check of this host found, and how all checks are asked at once.

What always holds: a check that raises or does not return is a finding, not an end: whoever asks hears within
`limits.CHECK` seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import Struct

from minipaas.install import limits
from minipaas.model.errors import MinipaasError

T = TypeVar("T")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, but not well, or not for ever."""
    BAD = "bad"
    """Does not work."""


class Finding(Struct, frozen=True, kw_only=True):
    """One line of `minipaas doctor`."""

    name: str
    level: Level
    says: str
    mend: str = ""
    """What to do, or the next command to type."""


def ok(name: str, says: str) -> Finding:
    """All is well."""
    return Finding(name=name, level=Level.OK, says=says)


def warn(name: str, says: str, mend: str) -> Finding:
    """Somebody should look at it."""
    return Finding(name=name, level=Level.WARN, says=says, mend=mend)


def bad(name: str, says: str, mend: str) -> Finding:
    """Somebody must."""
    return Finding(name=name, level=Level.BAD, says=says, mend=mend)


def together(asked: Mapping[str, Callable[[], T]], deadline: float = limits.CHECK) -> dict[str, T | Exception]:
    """Call all of them at once; name -> what it gave, what it raised, or TimeoutError after `deadline` seconds."""
    gave: dict[str, Any] = {}

    def call(name: str, function: Callable[[], T]) -> None:
        try:
            gave[name] = function()
        except Exception as error:
            gave[name] = error

    threads = [
        threading.Thread(target=call, args=row, name=f"check {row[0]}", daemon=True) for row in list(asked.items())
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {name: gave.get(name, TimeoutError()) for name in asked}


Check = Callable[[T], Finding | None]
"""Looks at facts and host; None: it does not apply here."""


def ask(checks: Sequence[Check[T]], facts: T, deadline: float = limits.CHECK) -> list[Finding]:
    """The findings of all checks, in their order."""
    asked = {check.__name__: _bound(check, facts) for check in checks}
    found = []
    for name, answer in together(asked, deadline).items():
        title = name.replace("_", " ")
        if isinstance(answer, TimeoutError):
            found.append(warn(title, f"no answer within {deadline:g} s", "a disk or network that hangs: dmesg | tail"))
        elif isinstance(answer, MinipaasError):
            found.append(bad(title, answer.message, answer.hint))
        elif isinstance(answer, Exception):
            found.append(warn(title, f"cannot be told: {answer or type(answer).__name__}", "run it as root"))
        elif answer is not None:
            found.append(answer)
    return found


def _bound(check: Check[T], facts: T) -> Callable[[], Finding | None]:
    return lambda: check(facts)

"""A lease: who is in which instance, why, since when and until when; and how it ended."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Entry(StrEnum):
    """The ways in."""

    EXEC = "exec"
    SHELL = "shell"
    FORWARD = "forward"
    COPY = "copy"
    SCENE = "scene"
    """Into a container made from the kept scene of an instance that failed."""


class Ending(StrEnum):
    """Why a lease is over."""

    DONE = "done"
    """The command has ended, or whoever opened it has closed it."""
    EXPIRED = "expired"
    IDLE = "idle"
    REVOKED = "revoked"
    """Somebody has ended it."""
    GONE = "gone"
    """The instance has ended."""
    STOPPED = "stopped"
    """minipaas stopped, or gave the box to another process."""
    LOST = "lost"
    """The connection broke off."""
    FAILED = "failed"


class Lease(Struct, frozen=True, kw_only=True):
    """As it is kept. Times are Unix seconds."""

    id: str
    kind: Entry
    app: str
    service: str
    instance: str
    container: str
    actor: str
    origin: str
    reason: str
    what: str
    """The program, port or path; never its arguments, which may be secret."""
    started: float
    until: float
    ended: float | None = None
    ending: Ending | None = None
    result: str = ""
    recording: bool = False

"""What crosses the wire about an app's past on one axis of time. The rules of `wire` hold here too."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.metrics import AppPast


class Lane(StrEnum):
    """Which sort of thing a mark is about, from the cause to the effect."""

    CHANGE = "change"
    """A deploy, rollback, restart, scaling or removal, from its beginning to its end."""
    BOX = "box"
    """minipaas itself was upgraded, gone back from or started anew; only for who may read the audit."""
    ACCESS = "access"
    """Somebody was inside an instance; only for who may read the audit."""
    CRASH = "crash"
    """An instance ended by itself, or failed its health checks."""
    RESTART = "restart"
    """An instance was started in the place of one that had ended."""
    LOG = "log"
    """Lines of the log are missing: written faster than they may be, or lost; only for who may read logs."""


class MarkView(Struct, frozen=True, kw_only=True):
    """One thing that happened, or several close to each other that are told as one."""

    lane: Lane
    at: float
    until: float | None
    """Its end, or that of the last of them; None: it goes on. What is over at once ends when it began."""
    count: int
    title: str
    well: bool | None
    """False: it went wrong, or one of them did. None: neither."""
    detail: str
    change: int | None
    crash: str | None
    """The kept scene: of an instance, or of a group of equal failures."""
    lease: str | None
    recorded: bool
    """Whether what that access showed can be played again."""
    service: str | None
    instance: str | None
    actor: str | None


class Timeline(Struct, frozen=True, kw_only=True):
    """An app between two times: what happened, the oldest first, and what it did meanwhile."""

    app: str
    start: float
    end: float
    """May lie a little ahead, so that the axis has round numbers."""
    now: float
    marks: tuple[MarkView, ...]
    past: AppPast

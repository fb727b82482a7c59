"""What crosses the wire about what was: events of an app, and what changed between two of its releases.

The rules of `wire` hold here too.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.difference import ImageDiff, PackageDiff, SettingDiff
from minipaas.surface.wire import ReleaseView


class ReleaseDiff(Struct, frozen=True, kw_only=True):
    """What changed from one release to another."""

    app: str
    base: ReleaseView
    release: ReleaseView
    sentence: str
    """All of it in a few words."""
    images: tuple[ImageDiff, ...]
    settings: tuple[SettingDiff, ...]
    packages: tuple[PackageDiff, ...]
    unknown: str
    """Why packages or layers cannot be compared; empty: they were."""
    left_out: int
    """Packages that differ and are not listed, because there are so many."""


class EventKind(StrEnum):
    """What sort of thing happened."""

    BEGAN = "began"
    """A change began."""
    ENDED = "ended"
    """A change ended."""
    UPKEEP = "upkeep"
    """A step outside any change: who died was replaced, what was replaced was taken away."""
    DEATH = "death"
    """An instance ended by itself."""
    AUDIT = "audit"
    """Somebody asked for something; also what was refused. Only for who may read the audit."""


class EventView(Struct, frozen=True, kw_only=True):
    """One thing that happened to an app."""

    id: str
    """Its place in the list, for `before`."""
    at: float
    kind: EventKind
    title: str
    step: str
    """Of upkeep: the step's kind; else empty."""
    well: bool | None
    """True: as it should be. False: not. None: neither, or not known yet."""
    detail: str
    change: int | None
    actor: str | None
    service: str | None
    instance: str | None
    """Name of the container."""


class Events(Struct, frozen=True, kw_only=True):
    """What happened, the newest first. Older ones: `before` the last id."""

    events: tuple[EventView, ...]
    more: bool
    """Whether there are older ones."""

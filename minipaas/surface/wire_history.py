"""What crosses the wire about what was: events of an app, and what changed between two of its releases.

The rules of `wire` hold here too.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.surface.wire import ReleaseView


class Difference(StrEnum):
    """How a part of one release relates to the same part of another."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class ImageDiff(Struct, frozen=True, kw_only=True):
    """The image of one service that is not the same in both. Digests are of image configs."""

    service: str
    difference: Difference
    before: str | None
    after: str | None
    size_before: int | None
    """Bytes of all its layers, uncompressed."""
    size_after: int | None
    new_layers: int | None
    """Layers that the older release has in none of its images; None when that is no longer known."""
    new_bytes: int | None


class SettingDiff(Struct, frozen=True, kw_only=True):
    """One key of app.toml that is not the same in both."""

    key: str
    """`services.web.replicas`"""
    difference: Difference
    before: str | None
    """As in app.toml; None when it was not there, or is hidden."""
    after: str | None
    hidden: bool
    """The values are not shown: the environment is not for whoever asks, or may hold secrets."""


class PackageDiff(Struct, frozen=True, kw_only=True):
    """One package that is not the same in both, by the bills of materials."""

    name: str
    ecosystem: str
    """The type of its package URL: `deb`, `apk`, `pypi`, `npm`."""
    difference: Difference
    before: str | None
    """Its versions, with commas when the release has several."""
    after: str | None
    services: tuple[str, ...]


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

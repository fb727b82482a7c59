"""What crosses the wire about crashes. The rules of `wire` hold here too."""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.capsule import Capsule


class CrashGroup(Struct, frozen=True, kw_only=True):
    """Equal failures: the same app, service, cause and last words. The first and the latest are kept whole."""

    id: str
    app: str
    service: str
    reason: str
    count: int
    first: float
    latest: float
    kept: tuple[str, ...]
    """Ids of the capsules that are there, the oldest first."""
    size: int
    """On disk."""


class Crashes(Struct, frozen=True, kw_only=True):
    """All of them, those that happened last first."""

    groups: tuple[CrashGroup, ...]
    size: int


class Crash(Struct, frozen=True, kw_only=True):
    """One capsule."""

    group: CrashGroup
    capsule: Capsule
    scene_size: int = 0
    """About so many bytes is the exported file without the image."""
    image_size: int | None = None
    """So many more with it; None: the image is not on this box any more."""


class CrashRemoved(Struct, frozen=True, kw_only=True):
    """What was let go."""

    capsules: int


class CrashKey(Struct, frozen=True, kw_only=True):
    """The key with which the box signs what it exports."""

    key_id: str
    public: str
    """PEM."""

"""Releases: what this box has verified and accepted, and the floors that forbid going back."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from minipaas.model.spec import AppSpec


class ImageRef(Struct, frozen=True, kw_only=True):
    """One image of a release. Digests are `sha256:<hex>`; `config` is also Podman's image id."""

    manifest: str
    config: str
    size: int
    """Bytes of all layers, uncompressed."""
    platform: str
    """`linux/amd64`"""


class Tuning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator of this box has set for one service, beside what its release says."""

    replicas: int | None = None
    """So many instances, whatever the release says; None: as many as it says."""
    restarted: int = 0
    """The change that restarted it last: instances that were not started since then are replaced."""


class Release(Struct, frozen=True, kw_only=True):
    """A verified bundle, as the box remembers it. `digest` (of the bundle manifest) is its identity."""

    digest: str
    app: str
    version: str
    epoch: int
    sequence: int
    min_sequence: int
    root_version: int
    issued: int
    """Unix seconds, by the author's clock."""
    valid_until: int | None
    signers: tuple[str, ...]
    """Key ids whose signatures counted."""
    images: dict[str, ImageRef]
    """By service name."""
    blobs: tuple[str, ...]
    """Every digest this release needs from the blob store, metadata included."""
    spec: AppSpec
    tuning: dict[str, Tuning] = {}
    """By service, what `tuned` has put on it. Not part of what was signed, nor of what is stored of a release."""

    @property
    def order(self) -> tuple[int, int]:
        """Releases of an app compare by this."""
        return (self.epoch, self.sequence)

    @property
    def short(self) -> str:
        """Twelve hex digits for people."""
        return self.digest.removeprefix("sha256:")[:12]


def tuned(release: Release, tuning: dict[str, Tuning]) -> Release:
    """The release as the operator wants it run. A setting that does not fit (no such service; more of a pinned one) has
    no effect."""
    if not tuning:
        return release
    services = dict(release.spec.services)
    for name, one in tuning.items():
        if one.replicas is not None and name in services and not services[name].pinned:
            services[name] = replace(services[name], replicas=one.replicas)
    return replace(release, spec=replace(release.spec, services=services), tuning=tuning)


class Floor(Struct, frozen=True, kw_only=True):
    """The lowest that an app may still go to. Never lowered, also not by removing the app."""

    epoch: int = 0
    sequence: int = 0
    """The highest accepted."""
    min_sequence: int = 0
    """The highest minSequence seen: no rollback below it."""


class TrustedTime(Struct, frozen=True, kw_only=True):
    """What this box knows of the time. Unix seconds."""

    clock: float
    floor: float
    """The newest accepted `issued` and the build date: it cannot be earlier than this."""
    synced: bool
    """Whether the clock is known to be right; only then does expiry block."""

    @property
    def now(self) -> float:
        """The later of clock and floor."""
        return max(self.clock, self.floor)

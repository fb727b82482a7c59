"""What is in a release, taken apart far enough to compare it with another; and what is not the same in both."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.release import Release


class Layer(Struct, frozen=True):
    """One layer of an image: its digest (= diffID), and its bytes, uncompressed."""

    digest: str
    size: int


class Package(Struct, frozen=True, order=True):
    """One package of one image, as the bill of materials has it."""

    ecosystem: str
    """The type of its package URL: `deb`, `apk`, `pypi`, `npm`; `os` for the system itself."""
    name: str
    version: str
    service: str


class Contents(Struct, frozen=True, kw_only=True):
    """A release with what this box has of it."""

    release: Release
    layers: dict[str, tuple[Layer, ...]] | None
    """By service; None when its blobs are gone."""
    packages: tuple[Package, ...] | None
    """None when there is no bill of materials that can be read."""
    unknown: str = ""
    """Why not all of it is known."""


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
    """Layers that the older release has in none of its images; None when that is not known."""
    new_bytes: int | None


class SettingDiff(Struct, frozen=True, kw_only=True):
    """One key of app.toml that is not the same in both."""

    key: str
    """`services.web.replicas`"""
    difference: Difference
    before: str | None
    """As JSON; None when it was not there, or is hidden."""
    after: str | None
    hidden: bool
    """The values are not shown, because secrets may be in them."""


class PackageDiff(Struct, frozen=True, kw_only=True):
    """One package that is not the same in both, by the bills of materials."""

    name: str
    ecosystem: str
    """The type of its package URL: `deb`, `apk`, `pypi`, `npm`; `os` for the system itself."""
    difference: Difference
    before: str | None
    """Its versions, with commas when there are several."""
    after: str | None
    services: tuple[str, ...]

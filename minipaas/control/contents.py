"""What a release holds, read from its blobs: the layers of its images, and its bill of materials. In a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeVar

import msgspec

from minipaas.author.sbom import packages_of
from minipaas.bundle import oci
from minipaas.bundle.limits import DEFAULT_LIMITS
from minipaas.model.difference import Contents, Layer, Package
from minipaas.model.errors import MinipaasError
from minipaas.model.release import Release

T = TypeVar("T")
Open = Callable[[str], BinaryIO]
"""A blob by digest, decompressed. Raises Missing, MinipaasError(blob.damaged)."""


def read_contents(release: Release, open_blob: Open, *, retired: bool = False) -> Contents:
    """All that can be known of a release here. What cannot is said, and is no error."""
    what = f"{release.app} {release.version}"
    if retired:
        return Contents(
            release=release, layers=None, packages=None, unknown=f"the files of {what} are no longer on this box"
        )
    try:
        layers = {service: _layers(image.manifest, open_blob) for service, image in release.images.items()}
        packages = _packages(release, open_blob)
    except (MinipaasError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = error.message if isinstance(error, MinipaasError) else str(error)
        return Contents(
            release=release, layers=None, packages=None, unknown=f"the files of {what} cannot be read: {why}"
        )
    unknown = "" if packages is not None else f"{what} came without a bill of materials"
    return Contents(release=release, layers=layers, packages=packages, unknown=unknown)


def _layers(manifest: str, open_blob: Open) -> tuple[Layer, ...]:
    parsed = oci.decode(_read(manifest, open_blob), oci.Manifest)
    return tuple(Layer(layer.digest, layer.size) for layer in parsed.layers)


def _packages(release: Release, open_blob: Open) -> tuple[Package, ...] | None:
    bundle = oci.decode(_read(release.digest, open_blob), oci.Manifest)
    found = next((layer.digest for layer in bundle.layers if layer.media_type == oci.SBOM), None)
    return None if found is None else packages_of(_read(found, open_blob))


def _read(digest: str, open_blob: Open) -> bytes:
    """A small blob, whole. Its size was limited when it was received."""
    most = DEFAULT_LIMITS.metadata_each
    with open_blob(digest) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"the blob {digest[7:19]} is larger than {most} bytes")
    return data

"""An image as what it is made of, and as the archive that Podman loads. No Podman here.

What always holds: the digest of the config, by which Podman knows the image, speaks for everything: the config names
the layers by the digests of their contents, and Podman compares what it is given with those. Each layer has exactly the
size that the manifest says, whatever a file holds; nothing more of it is read. Source: OCI image specification 1.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import zstandard
from msgspec import Struct

from minipaas.bundle import member, oci, tarball
from minipaas.bundle.layout import build_index
from minipaas.bundle.limits import DEFAULT_LIMITS, MAX_BLOB, MAX_WINDOW
from minipaas.bundle.read import metadata_of
from minipaas.engine.pieces import Pieces
from minipaas.model.errors import Invalid, Missing, Refused

PIECE = 256 * 1024


class Layer(Struct, frozen=True):
    """One layer. `open`: its content as one zstd frame, from a fresh beginning."""

    digest: str
    size: int
    """Bytes of the content."""
    open: Callable[[], Iterator[bytes]]


class ImageParts(Struct, frozen=True, kw_only=True):
    """One image."""

    manifest: bytes
    config: bytes
    platform: str
    layers: tuple[Layer, ...]
    """Each once."""

    @property
    def id(self) -> str:
        """By which Podman knows it."""
        return oci.digest_of(self.config)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)


def parts_of(manifest: bytes, config: bytes, open_layer: Callable[[str], Iterator[bytes]]) -> ImageParts:
    """Put them together. Raises ValueError when they do not belong together, or are larger than an image may be;
    msgspec.MsgspecError."""
    parsed, known = oci.decode(manifest, oci.Manifest), oci.decode(config, oci.ImageConfig)
    if parsed.config.digest != oci.digest_of(config):
        raise ValueError("its manifest is of another image")
    if tuple(layer.digest for layer in parsed.layers) != known.rootfs.diff_ids:
        raise ValueError("its layers are not the ones that its config names")
    sizes = {layer.digest: layer.size for layer in parsed.layers}
    if len(parsed.layers) > DEFAULT_LIMITS.metadata_blobs or max(sizes.values(), default=0) > MAX_BLOB:
        raise ValueError("it is larger than an image may be")
    if sum(sizes.values()) > DEFAULT_LIMITS.content:
        raise ValueError("it is larger than an image may be")
    layers = tuple(Layer(digest, size, lambda one=digest: open_layer(one)) for digest, size in sizes.items())  # type: ignore[misc]
    return ImageParts(manifest=manifest, config=config, platform=str(known.platform), layers=layers)


def archive(image: ImageParts, name: str) -> Iterator[bytes]:
    """An `oci-archive` with the image under this name, piece by piece. Blocking. Raises Refused for a layer that is not
    what it should be."""
    entry = oci.Descriptor(
        media_type=oci.MANIFEST,
        digest=oci.digest_of(image.manifest),
        size=len(image.manifest),
        annotations={oci.REF_NAME: name},
    )
    small = {tarball.LAYOUT: oci.LAYOUT_JSON, tarball.INDEX: build_index([entry])}
    small |= {tarball.member_name(oci.digest_of(data)): data for data in (image.manifest, image.config)}
    for path, data in small.items():
        yield tarball.header(path, len(data)) + data + tarball.padding(len(data))
    for layer in image.layers:
        yield tarball.header(tarball.member_name(layer.digest), layer.size)
        yield from _content(layer)
        yield tarball.padding(layer.size)
    yield tarball.END


def _content(layer: Layer) -> Iterator[bytes]:
    """Exactly as long as it should be."""
    left = layer.size
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        with Pieces(layer.open()) as packed, unpacker.stream_reader(cast("BinaryIO", packed)) as content:
            while piece := content.read(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise _wrong(layer)
                yield piece
    except zstandard.ZstdError:
        raise _wrong(layer) from None
    if left:
        raise _wrong(layer)


def _wrong(layer: Layer) -> Refused:
    return Refused(
        f"cannot use the image: its layer {layer.digest[7:19]} is not what it says it is",
        hint="get the file again, or another one",
        code="crash.image",
    )


def from_bundle(path: Path, image: str) -> ImageParts:
    """The image of this id out of a bundle file. Raises Missing (`crash.not_in_bundle`), Refused, Invalid."""
    metadata = metadata_of(path)
    manifest = next((data for data in metadata.blobs.values() if _has_config(data, image)), None)
    if manifest is None:
        raise Missing(
            f"cannot take the image from {path}: it is of another release",
            hint="take the bundle of the release that failed: minipaas crash show says which",
            code="crash.not_in_bundle",
        )
    config = metadata.blobs[image]
    with member.opened(path) as file:
        places = {one.name: one for one in member.members(file, str(path))[0]}

    def open_layer(digest: str) -> Iterator[bytes]:
        place = places[tarball.member_name(digest)]
        head, data = place.frames[0][0], place.frames[1][0]
        with member.opened(path) as file:
            yield from member.copy(file, place.offset + head, data, str(path))

    try:
        found = parts_of(manifest, config, open_layer)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"cannot take the image from {path}: {error}", code="crash.format") from None
    if missing := [layer.digest for layer in found.layers if tarball.member_name(layer.digest) not in places]:
        raise Missing(
            f"cannot take the image from {path}: it is a thin bundle, without the layer {missing[0][7:19]}",
            hint="take the whole one",
            code="crash.not_in_bundle",
        )
    return found


def _has_config(blob: bytes, digest: str) -> bool:
    try:
        parsed = oci.decode(blob, oci.Manifest)
    except msgspec.MsgspecError:
        return False
    return parsed.media_type == oci.MANIFEST and parsed.config.digest == digest


def section(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    """Bytes of a file that others read too."""
    while size > 0:
        data = os.pread(file.fileno(), min(size, PIECE), offset)
        if not data:
            return
        yield data
        offset, size = offset + len(data), size - len(data)

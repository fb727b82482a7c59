"""A bundle file on one's own disk: look into it, or check it from end to end as a box would."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from minipaas.bundle import oci
from minipaas.bundle.layout import Metadata
from minipaas.bundle.member import opened
from minipaas.bundle.receive import NullSink, read_metadata, receive
from minipaas.bundle.verify import Trust, Verdict, check_contents, check_release, check_statement, signatures_of
from minipaas.model.release import ImageRef, TrustedTime
from minipaas.model.spec import AppSpec


class Inspection(Struct, frozen=True, kw_only=True):
    """What a bundle says of itself. Its signatures were not checked."""

    digest: str
    app: str
    version: str
    epoch: int
    sequence: int
    min_sequence: int
    root_version: int
    issued: int
    """Unix seconds."""
    valid_until: int | None
    keys: tuple[str, ...]
    """The hints of its signatures: key ids, when minipaas signed."""
    images: dict[str, ImageRef]
    """By service."""
    files: dict[str, int]
    """Title of what comes with it (`app.toml`, `sbom.cdx.json`, `provenance.json`) -> bytes."""
    size: int
    """Bytes of the file."""
    content: int
    """Bytes of all blobs, uncompressed."""
    spec: AppSpec


def metadata_of(path: Path) -> Metadata:
    """Everything but the layers. Raises Missing, Refused."""
    with opened(path) as file:
        return read_metadata(file, name=str(path))


def inspect(path: Path) -> Inspection:
    """What a bundle file says of itself, without a trust root. Raises Missing, Refused when it contradicts itself."""
    metadata = metadata_of(path)
    outline = check_contents(metadata)
    what = metadata.name
    signatures = signatures_of(metadata, outline)
    signed = check_statement(signatures[0].payload, outline, what)
    spec, images = check_release(metadata, outline, signed)
    predicate = signed.predicate
    parts = (outline.manifests, outline.metadata, outline.configs, outline.layers)
    return Inspection(
        digest=outline.bundle.digest,
        app=predicate.app,
        version=predicate.version,
        epoch=predicate.epoch,
        sequence=predicate.sequence,
        min_sequence=predicate.min_sequence,
        root_version=predicate.root_version,
        issued=predicate.issued_at,
        valid_until=predicate.expires_at,
        keys=tuple(one.hint for one in signatures),
        images=images,
        files={
            layer.annotations.get(oci.TITLE, layer.media_type): layer.size for layer in outline.bundle_manifest.layers
        },
        size=path.stat().st_size,
        content=sum(sum(part.values()) for part in parts),
        spec=spec,
    )


def file_of(path: Path, title: str) -> bytes | None:
    """What comes with the bundle under this title, like `sbom.cdx.json`. Not verified. Raises Missing, Refused."""
    metadata = metadata_of(path)
    for layer in check_contents(metadata).bundle_manifest.layers:
        if layer.annotations.get(oci.TITLE) == title:
            return metadata.blobs[layer.digest]
    return None


def verify_file(
    path: Path, root: bytes, *, now: float | None = None, on_bytes: Callable[[int], None] | None = None
) -> Verdict:
    """Check a file from end to end against a trust root, every layer included, as a box that has seen nothing would.

    Any platform will do. `now`: Unix seconds, by default this machine's clock, which is believed. Raises Missing,
    Refused.
    """
    moment = time.time() if now is None else now
    trust = Trust(root=root, time=TrustedTime(clock=moment, floor=0, synced=True), platform="")
    with opened(path) as file:
        return receive(file, NullSink(), trust, on_bytes=on_bytes, name=str(path))

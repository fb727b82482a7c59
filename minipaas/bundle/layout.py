"""How the blobs of a bundle hang together, and the order in which they stand in the file. No I/O.

The order: oci-layout, index.json; the manifests as the index lists them; then what the bundle manifest, the root
chain and the signatures point to; the image configs; the layers. Each blob once, where it is first pointed to.
A reader therefore knows, before each member, which one may come. Nothing here is trusted yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from minipaas.bundle import oci
from minipaas.bundle.oci import Descriptor, Index, Manifest
from minipaas.bundle.refusal import refuse
from minipaas.model.typed import to_json

KNOWN: Final = ("", oci.BUNDLE, oci.ROOT, oci.SIGSTORE)
"""Artifact types of the index that mean something; images have none. Others are ignored."""


class Metadata(Struct, frozen=True):
    """Everything of a bundle but the layers, as bytes. `blobs` by digest; `name` is what to call it in messages."""

    layout: bytes
    index: bytes
    blobs: Mapping[str, bytes]
    name: str = "the bundle"


class Outline(Struct, frozen=True, kw_only=True):
    """The manifests, parsed and told apart."""

    bundle: Descriptor
    bundle_manifest: Manifest
    root_manifest: Manifest
    signatures: tuple[Manifest, ...]
    images: dict[str, Manifest]
    """By digest."""
    entries: dict[str, Descriptor]
    """By tag: how the unsigned index lists the images."""
    artifacts: tuple[Descriptor, ...]
    """How it lists the rest."""
    manifests: dict[str, int]
    metadata: dict[str, int]
    configs: dict[str, int]
    layers: dict[str, int]
    """Digest -> bytes, in the order of the file; a blob is in the first of the four that points to it."""


def parse_index(layout: bytes, index: bytes, what: str) -> Index:
    """oci-layout and index.json, which must be in the only form that we write. Raises Refused."""
    if layout != oci.LAYOUT_JSON:
        raise refuse(what, "bundle.layout", "its oci-layout is not of version 1.0.0")
    try:
        parsed = oci.decode(index, Index)
    except msgspec.MsgspecError as error:
        raise refuse(what, "bundle.layout", f"index.json: {error}") from None
    if to_json(parsed) != index or parsed.schema_version != 2 or parsed.media_type != oci.IMAGE_INDEX:
        raise refuse(what, "bundle.layout", "index.json is not in canonical form")
    return parsed


def build_index(manifests: Iterable[Descriptor]) -> bytes:
    """The bytes of index.json."""
    return to_json(Index(schema_version=2, media_type=oci.IMAGE_INDEX, manifests=tuple(manifests)))


def listed(index: Index, what: str) -> dict[str, int]:
    """Digest -> bytes of the manifests that the index lists and we know the kind of."""
    found: dict[str, int] = {}
    for entry in index.manifests:
        if entry.artifact_type in KNOWN:
            if entry.media_type != oci.MANIFEST:
                raise refuse(what, "bundle.layout", f"index.json lists a {entry.media_type!r:.80}")
            _note(found, entry, {}, what)
    return found


def outline(index: Index, blobs: Mapping[str, bytes], what: str) -> Outline:
    """Follow the index through the manifests in `blobs`. Raises Refused."""
    manifests = listed(index, what)
    parsed = {digest: _manifest(blobs, digest, what) for digest in manifests}
    kinds: dict[str, list[Descriptor]] = {kind: [] for kind in KNOWN}
    tags: dict[str, Descriptor] = {}
    for entry in index.manifests:
        if entry.artifact_type not in kinds:
            continue
        if entry.artifact_type != parsed[entry.digest].artifact_type:
            raise refuse(what, "bundle.layout", f"index.json mistakes what {entry.digest[7:19]} is")
        kinds[entry.artifact_type].append(entry)
        if entry.artifact_type == "":
            tag = entry.annotations.get(oci.REF_NAME, "")
            if tag in tags:
                raise refuse(what, "bundle.layout", f"index.json tags two images {tag!r:.80}")
            tags[tag] = entry
    if len(kinds[oci.BUNDLE]) != 1 or len(kinds[oci.ROOT]) != 1 or not kinds[""]:
        raise refuse(what, "bundle.layout", "index.json must list one bundle manifest, one root chain and the images")
    bundle, root = parsed[kinds[oci.BUNDLE][0].digest], parsed[kinds[oci.ROOT][0].digest]
    signatures = tuple(parsed[entry.digest] for entry in kinds[oci.SIGSTORE])
    images = {entry.digest: parsed[entry.digest] for entry in kinds[""]}
    metadata: dict[str, int] = {}
    for manifest in (bundle, root, *signatures):
        for item in (manifest.config, *manifest.layers):
            _note(metadata, item, manifests, what)
    configs: dict[str, int] = {}
    for manifest in images.values():
        _note(configs, manifest.config, {**manifests, **metadata}, what)
    layers: dict[str, int] = {}
    before = {**manifests, **metadata, **configs}
    for manifest in images.values():
        for item in manifest.layers:
            _note(layers, item, before, what)
    return Outline(
        bundle=kinds[oci.BUNDLE][0],
        bundle_manifest=bundle,
        root_manifest=root,
        signatures=signatures,
        images=images,
        entries=tags,
        artifacts=tuple(entry for kind in KNOWN[1:] for entry in kinds[kind]),
        manifests=manifests,
        metadata=metadata,
        configs=configs,
        layers=layers,
    )


def _manifest(blobs: Mapping[str, bytes], digest: str, what: str) -> Manifest:
    data = blobs.get(digest)
    if data is None:
        raise refuse(what, "bundle.missing_blob", f"the manifest {digest[7:19]} is missing")
    try:
        manifest = oci.decode(data, Manifest)
    except msgspec.MsgspecError as error:
        raise refuse(what, "bundle.manifest", f"the manifest {digest[7:19]}: {error}") from None
    if manifest.schema_version != 2 or manifest.media_type != oci.MANIFEST or not manifest.layers:
        raise refuse(what, "bundle.manifest", f"the manifest {digest[7:19]} is not an OCI image manifest with layers")
    if manifest.artifact_type and manifest.config.digest != oci.EMPTY_DESCRIPTOR.digest:
        raise refuse(what, "bundle.manifest", f"the artifact {digest[7:19]} has a config of its own")
    return manifest


def _note(into: dict[str, int], item: Descriptor, before: Mapping[str, int], what: str) -> None:
    """Add a blob unless it is known; one digest has one size."""
    known = into.get(item.digest, before.get(item.digest))
    if known is None:
        into[item.digest] = item.size
    elif known != item.size:
        raise refuse(what, "bundle.size", f"two sizes are given for the blob {item.digest[7:19]}")

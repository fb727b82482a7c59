"""Making a bundle: from an app.toml, images and keys to one file. Equal input gives equal bytes.

(With one release of the zstd library, that is: another may compress otherwise. The release's identity, the digest of
the bundle manifest, does not depend on it.)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import UNSET, Struct

from minipaas.bundle import dsse, layout, oci, statement, tarball
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.limits import DEFAULT_LIMITS
from minipaas.bundle.oci import Descriptor
from minipaas.bundle.pack import Packer
from minipaas.bundle.root import TrustRoot, check_first, check_versions
from minipaas.model.errors import Invalid
from minipaas.model.spec import AppSpec, parse_app_toml

Progress = Callable[[int, int], None]
"""(bytes of layers done, bytes of layers in all)"""


class Layer(Struct, frozen=True):
    """An uncompressed layer tar: its digest (= diffID), its bytes, and where they come from when they are needed."""

    digest: str
    size: int
    source: Path | bytes | Callable[[], BinaryIO]

    def open(self) -> BinaryIO:
        """A stream of the content, to be closed."""
        if isinstance(self.source, Path):
            return self.source.open("rb")
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source()


class Image(Struct, frozen=True):
    """An image: the bytes of its OCI config, and its layers from the bottom up."""

    config: bytes
    layers: tuple[Layer, ...]


class Contents(Struct, frozen=True, kw_only=True):
    """Everything that makes a release. App and version come from `app_toml`, epoch and root version from `roots`."""

    app_toml: bytes
    images: Mapping[str, Image]
    """By service name."""
    roots: Sequence[bytes]
    """The whole trust root chain, version 1 first."""
    sequence: int
    min_sequence: int = 0
    issued: float
    """Unix seconds."""
    valid_until: float | None = None
    """Unix seconds."""
    sbom: bytes | None = None
    """CycloneDX JSON."""
    provenance: bytes | None = None
    """An in-toto statement, JSON."""


class Written(Struct, frozen=True):
    """What was made."""

    digest: str
    """Of the bundle manifest: the release's identity."""
    size: int
    """Bytes of the file."""
    content: int
    """Bytes of all blobs, uncompressed."""


class _Plan(Struct, frozen=True):
    """The metadata blobs by digest, the layers, and the index."""

    digest: str
    index: bytes
    blobs: dict[str, bytes]
    layers: dict[str, Layer]


def write_bundle(
    out: BinaryIO, contents: Contents, signers: Sequence[SigningKey], progress: Progress | None = None
) -> Written:
    """Write a bundle, signed by each of `signers`, to something that need not seek. Raises Invalid, Refused."""
    plan = _plan(contents, signers)
    parsed = layout.parse_index(oci.LAYOUT_JSON, plan.index, "the bundle")
    outline = layout.outline(parsed, plan.blobs, "the bundle")
    packer = Packer(out)
    packer.add(tarball.LAYOUT, oci.LAYOUT_JSON)
    packer.add(tarball.INDEX, plan.index)
    for digest in (*outline.manifests, *outline.metadata, *outline.configs):
        packer.add(tarball.member_name(digest), plan.blobs[digest])
    total, done = sum(outline.layers.values()), 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    for digest, size in outline.layers.items():
        with closing(plan.layers[digest].open()) as source:
            packer.add_blob(digest, size, source, on_bytes)
    small = sum(size for part in (outline.manifests, outline.metadata, outline.configs) for size in part.values())
    return Written(plan.digest, packer.finish(), small + total)


def signature_manifest(bundle: Descriptor, signature: bytes) -> bytes:
    """The manifest that attaches a Sigstore bundle to a bundle manifest."""
    subject = Descriptor(media_type=oci.MANIFEST, digest=bundle.digest, size=bundle.size)
    return oci.encode(oci.artifact(oci.SIGSTORE, (oci.descriptor(oci.SIGSTORE, signature),), subject))


def listing(manifest: bytes, kind: str) -> Descriptor:
    """How the index lists an artifact manifest."""
    return oci.listed_artifact(oci.digest_of(manifest), len(manifest), kind)


def _plan(contents: Contents, signers: Sequence[SigningKey]) -> _Plan:
    spec = parse_app_toml(contents.app_toml)
    root = _root(contents.roots)
    _check(contents, spec, root, signers)
    blobs: dict[str, bytes] = {}

    def keep(data: bytes) -> bytes:
        if len(data) > DEFAULT_LIMITS.metadata_each:
            raise Invalid("cannot write the bundle: an SBOM, config or manifest is over 4 MiB", code="author.metadata")
        blobs[oci.digest_of(data)] = data
        return data

    keep(oci.EMPTY_JSON)
    files = [oci.descriptor(oci.APP_TOML, keep(contents.app_toml), "app.toml")]
    if contents.sbom is not None:
        files.append(oci.descriptor(oci.SBOM, keep(contents.sbom), "sbom.cdx.json"))
    if contents.provenance is not None:
        files.append(oci.descriptor(oci.PROVENANCE, keep(contents.provenance), "provenance.json"))
    chain = tuple(oci.descriptor(oci.TUF_ROOT, keep(raw), f"{n}.root.json") for n, raw in enumerate(contents.roots, 1))
    chain_manifest = listing(keep(oci.encode(oci.artifact(oci.ROOT, chain))), oci.ROOT)
    images: dict[str, Descriptor] = {}
    layers: dict[str, Layer] = {}
    for service, image in sorted(contents.images.items()):
        images[service] = _image(service, image, keep)
        layers |= {layer.digest: layer for layer in image.layers}
    services = {service: listed.digest for service, listed in images.items()}
    identity = statement.identity(root.epoch, contents.sequence, services)
    manifest = oci.artifact(oci.BUNDLE, tuple(files), annotations=identity)
    bundle = listing(keep(oci.encode(manifest)), oci.BUNDLE)
    payload = statement.build(
        bundle.digest,
        services,
        statement.Predicate(
            app=spec.app.name,
            version=spec.app.version,
            epoch=root.epoch,
            sequence=contents.sequence,
            min_sequence=contents.min_sequence,
            root_version=root.version,
            issued=statement.format_time(contents.issued),
            valid_until=UNSET if contents.valid_until is None else statement.format_time(contents.valid_until),
        ),
    )
    signatures = [
        listing(keep(signature_manifest(bundle, keep(dsse.sign(payload, key)))), oci.SIGSTORE) for key in signers
    ]
    return _Plan(
        bundle.digest, layout.build_index((bundle, chain_manifest, *signatures, *images.values())), blobs, layers
    )


def _image(service: str, image: Image, keep: Callable[[bytes], bytes]) -> Descriptor:
    """How the index lists an image for a service. Raises Invalid when config and layers disagree."""
    try:
        config = oci.decode(image.config, oci.ImageConfig)
    except msgspec.MsgspecError as error:
        raise Invalid(f"cannot write the bundle: the image config of {service}: {error}", code="author.image") from None
    if config.rootfs.diff_ids != tuple(layer.digest for layer in image.layers) or not image.layers:
        raise Invalid(
            f"cannot write the bundle: the layers of {service} are not those of its config", code="author.image"
        )
    keep(image.config)
    layers = tuple(Descriptor(media_type=oci.LAYER, digest=layer.digest, size=layer.size) for layer in image.layers)
    manifest = keep(oci.encode(oci.image_manifest(image.config, layers)))
    return oci.listed_image(oci.digest_of(manifest), len(manifest), service, str(config.platform))


def _root(roots: Sequence[bytes]) -> TrustRoot:
    if not roots:
        raise Invalid("cannot write the bundle: it needs a trust root", hint="give --root root.json", code="root.none")
    check_versions(roots, "the trust root chain")
    return check_first(roots[-1], "the trust root")


def _check(contents: Contents, spec: AppSpec, root: TrustRoot, signers: Sequence[SigningKey]) -> None:
    """What a box would refuse is refused here already."""
    if set(spec.services) != set(contents.images):
        raise Invalid(
            f"cannot write the bundle: app.toml has the services {', '.join(sorted(spec.services))};"
            f" there are images for {', '.join(sorted(contents.images)) or 'none'}",
            code="author.image",
        )
    if not 1 <= contents.sequence <= statement.MAX_COUNT or not 0 <= contents.min_sequence <= contents.sequence:
        raise Invalid(
            f"cannot write the bundle: sequence {contents.sequence} with minSequence {contents.min_sequence}",
            hint="sequence is 1 or more, minSequence at most the sequence",
            code="author.sequence",
        )
    if not signers or len({key.public for key in signers}) != len(signers):
        raise Invalid(
            "cannot write the bundle: it needs at least one key, and each only once",
            hint="give --key KEY",
            code="author.keys",
        )
    for key in signers:
        if key.public not in root.keys.values():
            raise Invalid(
                f"cannot write the bundle: the key {key.key_id[:12]} is no release key of root version {root.version}",
                hint="sign with a key that the trust root names, or rotate the root",
                code="author.keys",
            )

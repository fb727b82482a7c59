"""Bundles that nobody should make: each part can be bent before it is put together, and the rest still fits.

`Forge` bends what is inside (statements, manifests, index); `pack` and `frames_of` bend the tar and the zstd frames.
The checksum and the seek table fit unless a test bends them, so that a refusal is for the reason under test.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import zstandard

from minipaas.bundle import dsse, layout, oci, tarball
from minipaas.bundle.frames import check_frame, seek_table
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.oci import Descriptor, Manifest
from minipaas.bundle.write import Image, listing
from minipaas.model.errors import Refused
from tests.bundle.builders import default_trust, make_contents

Member = tuple[str, bytes]


def frame(data: bytes, **options: Any) -> bytes:
    """One zstd frame in the prescribed form, unless the options say otherwise."""
    return zstandard.ZstdCompressor(**({"write_content_size": True} | options)).compress(data)


def finish(frames: Sequence[tuple[bytes, int]]) -> bytes:
    """Frames of (bytes, content bytes), then the check frame and the seek table that fit them."""
    body = b"".join(data for data, _ in frames)
    check = check_frame(zlib.crc32(body))
    return body + check + seek_table([(len(data), size) for data, size in frames] + [(len(check), 0)])


def frames_of(members: Iterable[Member], header: Callable[[str, int], bytes] = tarball.header) -> list[bytes]:
    """The content of each frame: header, data, padding, …, end of the tar."""
    contents: list[bytes] = []
    for name, data in members:
        contents += [header(name, len(data)), data]
        if padding := tarball.padding(len(data)):
            contents.append(padding)
    return [*contents, tarball.END]


def pack(members: Iterable[Member]) -> bytes:
    """A file of these members, whatever they are."""
    return finish([(frame(content), len(content)) for content in frames_of(members)])


def unpack(data: bytes) -> list[Member]:
    """The members of a bundle, by other people's code."""
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as stream:
        plain = io.BytesIO(stream.read())
    with tarfile.open(fileobj=plain) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


class Forge:
    """A release whose every part may be replaced before `build`."""

    def __init__(self, keys: Sequence[SigningKey] | None = None, **contents: Any) -> None:
        made = make_contents(**contents)
        self.keys = list(keys if keys is not None else default_trust()[0])
        self.app_toml: bytes | None = made.app_toml
        self.images: dict[str, Image] = dict(made.images)
        self.roots = list(made.roots)
        self.statement: dict[str, Any] = {}
        """Top-level fields of the statement that replace the right ones."""
        self.predicate: dict[str, Any] = {
            "app": contents.get("app", "shop"),
            "version": contents.get("version", "1.0.0"),
            "epoch": 1,
            "sequence": made.sequence,
            "minSequence": made.min_sequence,
            "rootVersion": len(self.roots),
            "issued": "2025-10-09T08:53:20Z",
        }
        self.identity: dict[str, str] = {}
        """Annotations of the bundle manifest that are added or replaced; an empty one is taken away."""
        self.subjects: dict[str, str] = {}
        """Subjects that are added or replaced; an empty digest takes one away."""
        self.signed: Callable[[int, bytes], bytes] = lambda number, payload: payload
        """The payload that the n-th key signs."""
        self.sigstore: Callable[[dict[str, Any]], None] = lambda bundle: None
        """Bends each Sigstore bundle."""
        self.subject: Descriptor | None = None
        """What the signature manifests say they belong to."""
        self.image_manifest: Callable[[Manifest], Manifest] = lambda manifest: manifest
        self.index: Callable[[list[Descriptor]], list[Descriptor]] = lambda entries: entries
        self.index_bytes: Callable[[bytes], bytes] = lambda data: data
        self.extra: list[bytes] = []
        """Blobs that nothing points to, after the layers."""

    def members(self) -> list[Member]:
        """The tar members in their proper order."""
        blobs: dict[str, bytes] = {}

        def keep(data: bytes) -> bytes:
            blobs[oci.digest_of(data)] = data
            return data

        keep(b"{}")
        files = [oci.descriptor("text/plain", keep(b"nothing"))]
        if self.app_toml is not None:
            files.append(oci.descriptor(oci.APP_TOML, keep(self.app_toml)))
        chain = tuple(oci.descriptor(oci.TUF_ROOT, keep(root)) for root in self.roots)
        root = listing(keep(oci.encode(oci.artifact(oci.ROOT, chain))), oci.ROOT)
        images = {service: self._image(service, image, keep) for service, image in self.images.items()}
        identity = {"dev.minipaas.order": f"{self.predicate.get('epoch')}.{self.predicate.get('sequence')}"}
        identity |= {f"dev.minipaas.image.{service}": listed.digest for service, listed in images.items()}
        identity = {name: value for name, value in (identity | self.identity).items() if value}
        manifest = oci.artifact(oci.BUNDLE, tuple(files), annotations=identity)
        bundle = listing(keep(oci.encode(manifest)), oci.BUNDLE)
        signatures = self._signatures(bundle, images, keep)
        entries = self.index([bundle, root, *signatures, *images.values()])
        index = self.index_bytes(layout.build_index(entries))
        order = dict.fromkeys(entry.digest for entry in entries) | dict.fromkeys(blobs)
        with contextlib.suppress(Refused):  # a forgery without an order is refused before order matters
            parsed = layout.parse_index(oci.LAYOUT_JSON, index, "a forgery")
            outline = layout.outline(parsed, blobs, "a forgery")
            order = dict.fromkeys((*outline.manifests, *outline.metadata, *outline.configs, *outline.layers))
        order |= dict.fromkeys(oci.digest_of(keep(data)) for data in self.extra)
        named = [(tarball.member_name(digest), blobs[digest]) for digest in order if digest in blobs]
        return [(tarball.LAYOUT, oci.LAYOUT_JSON), (tarball.INDEX, index), *named]

    def build(self) -> bytes:
        """The whole file."""
        return pack(self.members())

    def _image(self, service: str, image: Image, keep: Callable[[bytes], bytes]) -> Descriptor:
        layers = []
        for layer in image.layers:
            assert isinstance(layer.source, bytes)
            keep(layer.source)
            layers.append(Descriptor(media_type=oci.LAYER, digest=layer.digest, size=layer.size))
        keep(image.config)
        manifest = keep(oci.encode(self.image_manifest(oci.image_manifest(image.config, tuple(layers)))))
        platform = "linux/amd64"
        with contextlib.suppress(msgspec.MsgspecError):
            platform = str(oci.decode(image.config, oci.ImageConfig).platform)
        return oci.listed_image(oci.digest_of(manifest), len(manifest), service, platform)

    def _signatures(
        self, bundle: Descriptor, images: dict[str, Descriptor], keep: Callable[[bytes], bytes]
    ) -> list[Descriptor]:
        subjects = {"bundle": bundle.digest} | {f"service/{name}": image.digest for name, image in images.items()}
        subjects |= self.subjects
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                for name, digest in subjects.items()
                if digest
            ],
            "predicateType": "https://minipaas.dev/release/v1",
            "predicate": self.predicate,
        } | self.statement
        found = []
        for number, key in enumerate(self.keys):
            signature = msgspec.json.decode(dsse.sign(self.signed(number, msgspec.json.encode(statement)), key))
            self.sigstore(signature)
            signature_bytes = keep(msgspec.json.encode(signature))
            target = self.subject or Descriptor(media_type=oci.MANIFEST, digest=bundle.digest, size=bundle.size)
            manifest = oci.artifact(oci.SIGSTORE, (oci.descriptor(oci.SIGSTORE, signature_bytes),), target)
            # Two signatures may be equal bytes; their manifests are told apart by an annotation.
            manifest = msgspec.structs.replace(manifest, annotations={"number": str(number)})
            found.append(listing(keep(oci.encode(manifest)), oci.SIGSTORE))
        return found

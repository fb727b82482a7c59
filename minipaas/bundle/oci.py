"""The OCI documents of a bundle as frozen structs, and their digests. No I/O.

Follows the OCI image specification 1.1 (manifest, index, config, image layout, guidelines for artifacts). Manifests
may carry fields that we do not know; only what is named here has a meaning.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Struct, field

from minipaas.model.typed import to_json

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
BUNDLE: Final = "application/vnd.minipaas.bundle.v1"
ROOT: Final = "application/vnd.minipaas.root.v1"
APP_TOML: Final = "application/vnd.minipaas.app.v1+toml"
TUF_ROOT: Final = "application/vnd.tuf.root.v1+json"
SBOM: Final = "application/vnd.cyclonedx+json"
PROVENANCE: Final = "application/vnd.in-toto+json"
SIGSTORE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
REF_NAME: Final = "org.opencontainers.image.ref.name"
TITLE: Final = "org.opencontainers.image.title"

T = TypeVar("T")

LAYOUT_JSON: Final = b'{"imageLayoutVersion":"1.0.0"}'
EMPTY_JSON: Final = b"{}"

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Bytes = Annotated[int, msgspec.Meta(gt=0)]
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Platform(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an image runs on."""

    architecture: str
    os: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


class Descriptor(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A blob by type, digest and size (bytes)."""

    media_type: str
    digest: Digest
    size: Bytes
    artifact_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict)


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An image manifest, or an artifact in the shape of one."""

    schema_version: int = field(name="schemaVersion")
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = field(default_factory=dict)


class Index(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`index.json`: unsigned, so it only says where to begin."""

    schema_version: int
    media_type: str
    manifests: tuple[Descriptor, ...]


class RootFs(Struct, frozen=True):
    """The layers of an image by the digests of their uncompressed tars."""

    diff_ids: tuple[str, ...]


class ImageConfig(Struct, frozen=True, kw_only=True):
    """The part of an image config that the verifier looks at."""

    architecture: str
    os: str
    rootfs: RootFs
    variant: str = ""

    @property
    def platform(self) -> Platform:
        return Platform(architecture=self.architecture, os=self.os, variant=self.variant)


def digest_of(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


EMPTY_DESCRIPTOR: Final = Descriptor(media_type=EMPTY, digest=digest_of(EMPTY_JSON), size=len(EMPTY_JSON))


def descriptor(media_type: str, data: bytes, title: str = "") -> Descriptor:
    """The descriptor of these bytes."""
    annotations = {TITLE: title} if title else {}
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data), annotations=annotations)


def artifact(
    kind: str,
    layers: tuple[Descriptor, ...],
    subject: Descriptor | None = None,
    annotations: dict[str, str] | None = None,
) -> Manifest:
    """A manifest for something that is not an image."""
    return Manifest(
        schema_version=2,
        media_type=MANIFEST,
        artifact_type=kind,
        config=EMPTY_DESCRIPTOR,
        layers=layers,
        subject=subject,
        annotations=annotations or {},
    )


def image_manifest(config: bytes, layers: tuple[Descriptor, ...]) -> Manifest:
    """The manifest of an image with uncompressed layers."""
    return Manifest(schema_version=2, media_type=MANIFEST, config=descriptor(CONFIG, config), layers=layers)


def listed_artifact(digest: str, size: int, kind: str) -> Descriptor:
    """How the index lists an artifact manifest."""
    return Descriptor(media_type=MANIFEST, digest=digest, size=size, artifact_type=kind)


def listed_image(digest: str, size: int, service: str, platform: str) -> Descriptor:
    """How the index lists the image of a service. `platform`: `linux/amd64`."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return Descriptor(
        media_type=MANIFEST,
        digest=digest,
        size=size,
        platform=Platform(os=system, architecture=architecture, variant=variant),
        annotations={REF_NAME: service},
    )


def decode(data: bytes, kind: type[T]) -> T:
    """JSON that a stranger may have written. Raises msgspec.DecodeError, whatever is wrong with it."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest: canonical JSON."""
    return to_json(manifest)

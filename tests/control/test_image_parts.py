"""An image out of a bundle or a file, and as the archive that Podman loads."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from msgspec.structs import replace

from minipaas.bundle import oci
from minipaas.bundle.read import inspect
from minipaas.bundle.thin import thin
from minipaas.control.image_parts import ImageParts, archive, from_bundle, parts_of
from minipaas.model.errors import Missing, Refused
from tests.bundle.builders import make_bundle

CONTENT = b"the only layer" * 1000


def image(content: bytes = CONTENT, packed: bytes | None = None) -> ImageParts:
    """One of one layer; `packed`: what the file holds in its place."""
    layer = oci.descriptor(oci.LAYER, content)
    config = msgspec.json.encode(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.digest]}}
    )
    manifest = oci.encode(oci.image_manifest(config, (layer,)))
    frame = zstandard.ZstdCompressor().compress(content) if packed is None else packed

    def opened(digest: str) -> Iterator[bytes]:
        assert digest == layer.digest
        return iter((frame[:7], frame[7:]))

    return parts_of(manifest, config, opened)


def loaded(parts: ImageParts) -> dict[str, bytes]:
    data = b"".join(archive(parts, "localhost/x:1"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def test_podman_gets_an_oci_layout() -> None:
    members = loaded(image())
    assert list(members)[:2] == ["oci-layout", "index.json"]
    for name, data in members.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    assert CONTENT in members.values()


@pytest.mark.parametrize(
    "packed",
    [
        zstandard.ZstdCompressor().compress(bytes(1 << 30)),
        zstandard.ZstdCompressor().compress(CONTENT + b"!"),
        zstandard.ZstdCompressor().compress(CONTENT[:-1]),
        b"no zstd at all",
        b"",
    ],
    ids=["bomb", "longer", "shorter", "nonsense", "nothing"],
)
def test_a_layer_is_exactly_as_long_as_it_should_be(packed: bytes) -> None:
    seen = 0
    with pytest.raises(Refused, match="not what it says it is"):
        for piece in archive(image(packed=packed), "localhost/x:1"):
            seen += len(piece)
    assert seen < 1 << 20


def test_what_does_not_belong_together_is_refused() -> None:
    one, other = image(), image(b"another")
    for manifest, config in ((one.manifest, other.config), (other.manifest, one.config)):
        with pytest.raises(ValueError, match="another image"):
            parts_of(manifest, config, lambda _: iter(()))
    layers = (oci.descriptor(oci.LAYER, b"x"),)
    with pytest.raises(ValueError, match="not the ones that its config names"):
        parts_of(oci.encode(oci.image_manifest(one.config, layers)), one.config, lambda _: iter(()))
    huge = (replace(oci.decode(one.manifest, oci.Manifest).layers[0], size=1 << 40),)
    with pytest.raises(ValueError, match="larger than an image may be"):
        parts_of(oci.encode(oci.image_manifest(one.config, huge)), one.config, lambda _: iter(()))


def test_a_bundle_has_it(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    wanted = inspect(path).images["web"]
    found = from_bundle(path, wanted.config)
    assert (found.id, oci.digest_of(found.manifest), found.size) == (wanted.config, wanted.manifest, wanted.size)
    members = loaded(found)
    assert {f"blobs/sha256/{layer.digest[7:]}" for layer in found.layers} < set(members)


def test_a_bundle_may_not_have_it(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    with pytest.raises(Missing, match="of another release"):
        from_bundle(path, "sha256:" + "0" * 64)
    image_id = inspect(path).images["web"].config
    slim = tmp_path / "thin.bundle"
    slim.write_bytes(b"".join(thin(path, ())))
    with pytest.raises(Missing, match="a thin bundle"):
        from_bundle(slim, image_id)

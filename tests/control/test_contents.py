"""What a release holds, read from the blobs of a real bundle."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from minipaas.author.packages import Inventory, OsRelease, Package
from minipaas.author.sbom import ImageContent, cyclonedx
from minipaas.bundle.receive import receive
from minipaas.control.contents import read_contents
from minipaas.model.difference import Package as Part
from minipaas.model.errors import MinipaasError, Missing
from minipaas.model.release import Release
from minipaas.registry.blobs import BlobStore
from tests.bundle.builders import make_box, make_bundle


def sbom() -> bytes:
    bash = Package(purl="pkg:deb/debian/bash@5", name="bash", version="5", path="p", license="", source="")
    image = ImageContent(
        config="sha256:" + "c" * 64,
        manifest="sha256:" + "d" * 64,
        reference="r",
        platform="linux/amd64",
        services=("web", "worker"),
        inventory=Inventory(os=OsRelease(id="debian", version="12", name="Debian"), packages=(bash,), unread=()),
    )
    return cyclonedx("shop", "1.0", 1_700_000_000, [image], 100_000)


def stored(tmp_path: Path, **made: object) -> tuple[Release, BlobStore]:
    store = BlobStore(tmp_path / "data", ballast=0)
    path = make_bundle(tmp_path, services=("web", "worker"), **made)  # type: ignore[arg-type]
    with store.stage() as staging, path.open("rb") as source:
        verdict = receive(source, staging, make_box())
        staging.publish()
    return verdict.release, store


def test_layers_and_packages_of_a_release(tmp_path: Path) -> None:
    release, store = stored(tmp_path, sbom=sbom())
    found = read_contents(release, store.open)
    assert found.layers is not None
    assert {name: len(layers) for name, layers in found.layers.items()} == {"web": 2, "worker": 2}
    assert found.layers["web"][0] == found.layers["worker"][0], "the common one"
    assert sum(layer.size for layer in found.layers["web"]) == release.images["web"].size
    assert found.packages == tuple(
        Part(ecosystem, name, version, service)
        for ecosystem, name, version in (("deb", "bash", "5"), ("os", "debian", "12"))
        for service in ("web", "worker")
    )
    assert found.unknown == ""


def test_a_bundle_without_a_bill_of_materials(tmp_path: Path) -> None:
    release, store = stored(tmp_path, sbom=None)
    found = read_contents(release, store.open)
    assert (found.packages, found.unknown) == (None, "shop 1.0.0 came without a bill of materials")
    assert found.layers


def _gone(digest: str) -> BinaryIO:
    raise Missing("cannot find blob: it is gone")


def _bent(data: bytes) -> Callable[[str], BinaryIO]:
    return lambda digest: io.BytesIO(data)


@pytest.mark.parametrize("open_blob", [_gone, _bent(b"{"), _bent(b"x" * (5 << 20)), _bent(b"[" * 100_000)])
def test_what_cannot_be_read_is_said(tmp_path: Path, open_blob: Callable[[str], BinaryIO]) -> None:
    release, _ = stored(tmp_path)
    found = read_contents(release, open_blob)
    assert (found.layers, found.packages) == (None, None)
    assert found.unknown.startswith("the files of shop 1.0.0 cannot be read: ")


def test_a_bill_that_is_none(tmp_path: Path) -> None:
    for number, bill in enumerate((b"[]", b'{"components": 7}', b'{"components": [{"purl": 1}]}', b"[" * 100_000)):
        where = tmp_path / str(number)
        where.mkdir()
        release, store = stored(where, sbom=bill)
        assert read_contents(release, store.open).unknown.startswith("the files of shop 1.0.0 cannot be read: ")


def test_what_was_given_up_is_not_even_looked_for(tmp_path: Path) -> None:
    release, store = stored(tmp_path)
    assert read_contents(release, store.open, retired=True).unknown == (
        "the files of shop 1.0.0 are no longer on this box"
    )
    with pytest.raises(MinipaasError):
        store.open("sha256:" + "0" * 64)

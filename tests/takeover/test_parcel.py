"""A program tree out of a bundle: what is no plain file, directory or link inside is refused, and nothing is placed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import zstandard

from minipaas.install.layout import Layout, Version
from minipaas.model.errors import Refused
from minipaas.model.release import ImageRef
from minipaas.takeover.limits import FILES
from minipaas.takeover.parcel import SERVICE, Parcel
from tests.registry.made import release

Members = Callable[[tarfile.TarFile], None]


def plain(tar: tarfile.TarFile, name: str, content: bytes = b"#!/bin/sh\n", **more: object) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    for key, value in more.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def link(tar: tarfile.TarFile, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    tar.addfile(member)


def through(tar: tarfile.TarFile, target: str, name: str) -> None:
    link(tar, "lib", target)
    plain(tar, f"lib/{name}")


def many(tar: tarfile.TarFile, count: int) -> None:
    for _ in range(count):  # one that may come again, so that the disk of the test is spared
        folder = tarfile.TarInfo("lib")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)


def placed(tmp_path: Path, members: Members, *, declared: int | None = None) -> Version:
    """What becomes of a bundle whose program is such a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        plain(tar, "minipaas")
        members(tar)
    layer = data.getvalue()
    described = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": _digest(layer), "size": len(layer)}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(b"{}"), "size": 2}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [described],
        }
    ).encode()
    size = len(layer) if declared is None else declared
    image = ImageRef(manifest=_digest(manifest), config=_digest(b"{}"), size=size, platform="linux/amd64")
    made = msgspec.structs.replace(release(1, "minipaas"), images={SERVICE: image})
    (tmp_path / "data").mkdir()
    parcel = Parcel(tmp_path / "data", Layout(tmp_path / "opt"))
    try:
        parcel.verified(SimpleNamespace(release=made))  # type: ignore[arg-type] - all that it looks at
        for blob in (manifest, layer):
            file = parcel.create(_digest(blob), len(blob))
            file.write(zstandard.compress(blob))
            file.commit()
        return parcel.place(made)
    finally:
        parcel.close()
        assert list((tmp_path / "data").iterdir()) == []


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_tree_is_laid_out_as_it_was(tmp_path: Path) -> None:
    def members(tar: tarfile.TarFile) -> None:
        folder = tarfile.TarInfo("lib")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        plain(tar, "lib/data", b"text", mode=0o644)
        link(tar, "lib/also", "data")

    version = placed(tmp_path, members)
    tree = version.executable.parent
    assert (tree / "lib/also").read_text() == "text"
    assert version.executable.stat().st_mode & 0o777 == 0o755
    assert (tree / "lib/data").stat().st_mode & 0o111 == 0


HOSTILE: dict[str, Members] = {
    "an absolute name": lambda tar: plain(tar, "/etc/passwd"),
    "a way out": lambda tar: plain(tar, "lib/../../out"),
    "a link to an absolute name": lambda tar: link(tar, "out", "/etc"),
    "a link that leads out": lambda tar: link(tar, "out", "../../etc"),
    "a hard link": lambda tar: link(tar, "out", "minipaas", tarfile.LNKTYPE),
    "a device": lambda tar: link(tar, "null", "", tarfile.CHRTYPE),
    "a pipe": lambda tar: link(tar, "pipe", "", tarfile.FIFOTYPE),
    "a name that comes twice": lambda tar: plain(tar, "minipaas"),
    "a file through a link": lambda tar: through(tar, ".", "minipaas"),
    "a file through a link to a file": lambda tar: through(tar, "minipaas", "x"),
    "a file in no directory": lambda tar: plain(tar, "nowhere/x"),
    "a link in the place of a file": lambda tar: link(tar, "minipaas", "lib"),
    "more files than a program has": lambda tar: many(tar, FILES),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_program_tree_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(Refused) as refused:
        placed(tmp_path, HOSTILE[case])
    assert refused.value.code == "self.tree"
    assert Layout(tmp_path / "opt").versions() == ()


def test_more_than_was_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        placed(tmp_path, lambda tar: plain(tar, "large", bytes(100_000)), declared=50_000)
    assert refused.value.code == "self.tree"

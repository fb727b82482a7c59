"""Layers, images and archives made on the spot."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

Content = bytes | str | None
"""bytes: a file; str: a hard link to that path; None: a directory."""


def layer(entries: Mapping[str, Content]) -> bytes:
    """An uncompressed layer with these entries, in order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def layer_files(directory: Path, *layers: Mapping[str, Content]) -> list[Path]:
    """Layers as files, lowest first."""
    paths = []
    for number, entries in enumerate(layers):
        path = directory / f"layer-{number}.tar"
        path.write_bytes(layer(entries))
        paths.append(path)
    return paths


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(*layers: bytes) -> bytes:
    """An image config, with white space of its own: it must survive as it is."""
    raw = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]},
    }
    return json.dumps(raw, indent=3).encode()


def archive(members: Mapping[str, bytes]) -> io.BytesIO:
    """A tar as Podman exports one."""
    return io.BytesIO(layer(members))


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def oci_archive(config: bytes, layers: list[bytes], pack: Callable[[bytes], bytes] = gzipped) -> dict[str, bytes]:
    """The members of an oci-archive with packed layers."""
    packed = [pack(x) for x in layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": digest(config), "size": len(config)},
            "layers": [{"digest": digest(x), "size": len(x)} for x in packed],
        }
    ).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": digest(manifest), "size": len(manifest)}]})
    blobs = {f"blobs/{digest(x).replace(':', '/')}": x for x in (manifest, config, *packed)}
    return blobs | {"index.json": index.encode(), "oci-layout": b"{}"}


def docker_archive(config: bytes, layers: list[bytes]) -> dict[str, bytes]:
    """The members of a docker-archive."""
    names = {f"{digest(x)[7:]}.tar": x for x in layers}
    listed = [f"{digest(x)[7:]}.tar" for x in layers]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": listed}]).encode()
    return {**names, "c.json": config, "manifest.json": manifest}

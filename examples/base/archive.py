"""archive.py ROOTFS.tar IMAGE LABEL: write a root file system to standard output as an archive for `podman load`.

Nothing in it depends on when or where it was made, but for SOURCE_DATE_EPOCH: equal root file systems give equal
image ids. (`podman import` would put the time of day into the image, and a build takes twice as long.)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def main() -> None:
    rootfs, image, label = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    with rootfs.open("rb") as file:
        layer = hashlib.file_digest(file, "sha256").hexdigest()
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key, _, value = label.partition("=")
    config = {
        "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": created,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
            "Labels": {key: value},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        "history": [{"created": created, "created_by": "mmdebstrap"}],
    }
    data = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(data).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image], "Layers": [f"{layer}.tar"]}]
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "manifest.json", json.dumps(manifest).encode(), epoch)
        _add(archive, name, data, epoch)
        info = tarfile.TarInfo(f"{layer}.tar")
        info.size, info.mtime = rootfs.stat().st_size, epoch
        with rootfs.open("rb") as file:
            archive.addfile(info, file)


def _add(archive: tarfile.TarFile, name: str, data: bytes, epoch: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), epoch
    archive.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()

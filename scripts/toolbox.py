"""Lays out the toolbox image that minipaas brings along: Debian's static busybox on nothing, under the names of all its
tools, as an OCI image layout (https://github.com/opencontainers/image-spec) in minipaas/forensics/toolbox.oci/.

Made anew only when the busybox of this machine, or this file, is another; the same busybox gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / "minipaas" / "forensics" / "toolbox.oci"
BUSYBOX = Path("/bin/busybox")
NAME = "localhost/minipaas-toolbox"
OCI = "application/vnd.oci.image"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LINKS = {"instance": "/proc/1/root"}
"""In a container that shares the processes of an instance, its files."""


def layer() -> bytes:
    """The file system, as a tar."""
    tools = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for directory in ("bin", "etc", "root", "tmp"):
            _add(tar, directory, type=tarfile.DIRTYPE, mode=0o1777 if directory == "tmp" else 0o755)
        busybox = BUSYBOX.read_bytes()
        _add(tar, "bin/busybox", busybox, mode=0o755)
        for tool in sorted({*tools} - {"busybox"}):
            _add(tar, f"bin/{tool}", type=tarfile.SYMTYPE, linkname="busybox")
        _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "etc/group", b"root:x:0:\n")
        for name, target in LINKS.items():
            _add(tar, name, type=tarfile.SYMTYPE, linkname=target)
    return data.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"", **values: object) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in values.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def build(place: Path) -> None:
    """Write the layout; `place` is replaced."""
    tar = layer()
    blobs: dict[str, bytes] = {}

    def descriptor(kind: str, data: bytes, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}

    packed = gzip.compress(tar, 9, mtime=0)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "HOME=/root"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": descriptor("config.v1+json", json.dumps(config, sort_keys=True).encode()),
        "layers": [descriptor("layer.v1.tar+gzip", packed)],
    }
    named = {"org.opencontainers.image.ref.name": f"{NAME}:{hashlib.sha256(tar).hexdigest()[:12]}"}
    entry = descriptor("manifest.v1+json", json.dumps(manifest, sort_keys=True).encode(), annotations=named)
    fresh = place.with_name(f"{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "blobs/sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (fresh / "blobs/sha256" / digest).write_bytes(data)
    (fresh / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')
    (fresh / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}, sort_keys=True) + "\n")
    (fresh / "made-of").write_text(made_of())
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def made_of() -> str:
    """What decides about the bytes."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in (BUSYBOX, Path(__file__)))


def main() -> None:
    try:
        current = (PLACE / "made-of").read_text() == made_of()
    except OSError:
        current = False
    if not current:
        build(PLACE)


if __name__ == "__main__":
    main()

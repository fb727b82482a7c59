"""What a container has written: its changes against the image and its files as an archive, as libpod gives them."""

from __future__ import annotations

import io
import posixpath
import tarfile
from pathlib import Path

from tests.fakepodman.state import Container
from tests.fakepodman.world import Fault


def changes(container: Container) -> list[dict[str, object]]:
    """Added files and the directories above them, which count as modified."""
    found: dict[str, int] = {}
    for path in container.files:
        parent = posixpath.dirname(path)
        while parent not in ("", "/"):
            found.setdefault(parent, 0)
            parent = posixpath.dirname(parent)
        found[path] = 1
    found |= dict.fromkeys(container.removed, 2)
    return [{"Path": path, "Kind": kind} for path, kind in sorted(found.items())]


def archive(container: Container, path: str) -> bytes:
    """A file or directory as a tar; a bind mount's comes from the host, and its own name is left away. Raises Fault."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for mount in container.body.get("mounts") or ():
            if mount["destination"] == path and mount["type"] == "bind":
                _from_host(tar, Path(mount["source"]))
                return _whole(tar, out)
        below = {name: data for name, data in container.files.items() if name == path or name.startswith(f"{path}/")}
        if not below:
            raise Fault(404, "no such file or directory", f"{path!r} could not be found on container")
        for name, data in sorted(below.items()):
            info = tarfile.TarInfo(posixpath.relpath(name, posixpath.dirname(path)))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        return _whole(tar, out)


def fill(container: Container, path: str, data: bytes) -> None:
    """Put the files of a tar below a path, into the container's own layer."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if file := tar.extractfile(member) if member.isreg() else None:
                container.files[posixpath.join(path, member.name)] = file.read()


def _whole(tar: tarfile.TarFile, out: io.BytesIO) -> bytes:
    tar.close()
    return out.getvalue()


def _from_host(tar: tarfile.TarFile, source: Path) -> None:
    for file in (source, *sorted(source.rglob("*"))):
        info = tar.gettarinfo(file, arcname="x")
        info.name = "" if file == source else f"/{file.relative_to(source)}"
        with file.open("rb") if file.is_file() else io.BytesIO() as data:
            tar.addfile(info, data if info.isreg() else None)

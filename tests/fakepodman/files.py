"""The files of a fake container: a real directory, as a tar, with what libpod 4.3 and 5.4 say around it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

from aiohttp import web

from tests.fakepodman.state import Container, Image
from tests.fakepodman.world import Fault


def stat_header(container: Container, path: str) -> dict[str, str]:
    """What a path is. Raises Fault (404)."""
    place = _place(container, path)
    stat = {"name": place.name, "size": place.stat().st_size, "mode": 0, "isDir": place.is_dir(), "linkTarget": path}
    return {"X-Docker-Container-Path-Stat": base64.b64encode(json.dumps(stat).encode()).decode()}


def packed(container: Container, path: str) -> bytes:
    """A path and all below it, under its last name."""
    place = _place(container, path)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(place, arcname="." if path.endswith("/.") else place.name)
    return data.getvalue()


async def unpack(container: Container, path: str, request: web.Request) -> None:
    """A tar into a directory."""
    place = _place(container, path)
    if container.body.get("read_only_filesystem") and not path.startswith("/tmp"):
        raise Fault(500, "read-only file system", f'copier: put: error creating "{path}": read-only file system')
    data = await request.content.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(place)  # noqa: S202 - what the tests themselves have made


def known(container: Container) -> bool:
    """Whether it has such a directory; else its files are what a test has said of them (`scene`)."""
    return "root" in vars(container)


def changes(container: Container) -> list[dict[str, object]]:
    """What is there and was not in the image: everything."""
    found = sorted(container.root.rglob("*")) if known(container) else []
    return [{"Path": f"/{one.relative_to(container.root)}", "Kind": 1} for one in found]


def image_in(data: bytes) -> Image:
    """The image of an oci-archive, as far as it is looked at. Raises KeyError for one that is none."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:

        def blob(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
            return file.read() if file else b""

        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        entry = index["manifests"][0]
        config = json.loads(blob(entry["digest"]))["config"]
        assert hashlib.sha256(blob(config["digest"])).hexdigest() == config["digest"].removeprefix("sha256:")
        name = entry["annotations"]["org.opencontainers.image.ref.name"]
    return Image(config["digest"].removeprefix("sha256:"), entry["digest"], [name])


def _place(container: Container, path: str) -> Path:
    place = container.root / path.lstrip("/")
    if not place.exists():
        raise Fault(404, "no such file or directory")
    return place

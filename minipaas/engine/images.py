"""Images for the author's side: build from a Containerfile, look at, export. Synchronous, because the command line is.

images = Images(socket)
image_id = images.build(Path("."), "Containerfile", "localhost/shop-web:1.0", 1700000000, print)
with images.export(image_id) as archive:          # an oci-archive, as it comes
    ...
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

import msgspec
from msgspec import Struct

from minipaas.engine import limits
from minipaas.engine.calls import decode, lines
from minipaas.engine.causes import shorten
from minipaas.engine.context import write_context
from minipaas.engine.pieces import Pieces
from minipaas.engine.session import Params, Session
from minipaas.engine.shapes import InspectedImage, Progress, SystemInfo
from minipaas.model.errors import EngineError, Invalid

_SPOOL = 64 * 1024**2


class ImageFacts(Struct, frozen=True, kw_only=True):
    """What Podman says of an image."""

    id: str
    """`sha256:<hex>`, the digest of the config."""
    digest: str
    """Of the manifest that Podman has; a push or export may make another."""
    platform: str
    """`linux/amd64`"""
    size: int
    """Bytes, uncompressed."""
    tags: tuple[str, ...]


class Images:
    """One Podman's images. May be used as a context manager."""

    def __init__(self, socket: str) -> None:
        self._session = Session(socket)

    def __enter__(self) -> Images:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._session.close()

    def version(self) -> str:
        """Podman's version; raises EngineDown when nobody answers."""
        what = "ask Podman what it is"
        _, body = self._session.call(what, "GET", "info")
        return decode(what, body, SystemInfo).version.version

    def inspect(self, reference: str) -> ImageFacts | None:
        """By name or id; None when there is no such image. Raises EngineError."""
        what = f"look at image {reference}"
        path = f"images/{quote(reference, safe='')}/json"
        status, body = self._session.call(what, "GET", path, accept=frozenset({404}))
        if status == 404:
            return None
        found = decode(what, body, InspectedImage)
        return ImageFacts(
            id=_with_algorithm(found.id),
            digest=found.digest,
            platform=f"{found.os}/{found.architecture}",
            size=found.size,
            tags=tuple(found.repo_tags or ()),
        )

    def build(
        self,
        context: Path,
        containerfile: str,
        tag: str,
        timestamp: int | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        """Build and tag an image; its id. `containerfile` is relative to `context`. With `timestamp` (Unix seconds)
        every file that the build writes, and the image itself, carry that time, so that the same inputs give the same
        image. Raises Invalid when the build fails (its last words are in the message), EngineError."""
        params: dict[str, str | int | bool] = {
            "t": tag,
            "dockerfile": containerfile,
            "layers": True,
            "rm": True,
            "forcerm": True,
            "pullpolicy": "missing",
            "outputformat": "application/vnd.oci.image.manifest.v1+json",
        }
        if timestamp is not None:
            params["timestamp"] = timestamp
        what = f"build {tag}"
        with tempfile.SpooledTemporaryFile(_SPOOL) as tar:
            write_context(context, containerfile, cast(BinaryIO, tar))
            tar.seek(0)
            stream = self._session.stream(
                what,
                "POST",
                "build",
                params=params,
                data=tar,
                headers={"Content-Type": "application/x-tar"},
                timeout=limits.BUILD,
            )
            return _follow_build(what, containerfile, stream, on_line or (lambda _: None))

    @contextmanager
    def export(self, reference: str, form: str = "oci-archive") -> Iterator[BinaryIO]:
        """The image as a tar, readable once, forwards. Raises EngineError, also while it is read.

        An `oci-archive` is an OCI image layout with compressed layers; for images in Docker's format it has another
        config, and so another id. A `docker-archive` keeps the config of every image and does not compress.
        """
        params: Params = {"format": form}
        what = f"export {reference}"
        stream = self._session.stream(
            what, "GET", f"images/{quote(reference, safe='')}/get", params=params, timeout=limits.EXPORT
        )
        with io.BufferedReader(Pieces(stream), 1024**2) as archive:
            yield archive


def _follow_build(what: str, containerfile: str, stream: Iterator[bytes], on_line: Callable[[str], None]) -> str:
    image = ""
    for line in lines(stream):
        if not line.strip():
            continue
        try:
            progress = msgspec.json.decode(line, type=Progress)
        except msgspec.MsgspecError:
            continue  # a line that was longer than the bound came in pieces
        if progress.error:
            hint = f"the lines above say more; look at {containerfile}"
            raise Invalid(f"cannot {what}: {shorten(progress.error)}", hint=hint, code="engine.build")
        text = progress.stream.rstrip("\n")
        if len(text) == 64 and all(char in "0123456789abcdef" for char in text):
            image = text
            continue
        for part in text.split("\n"):
            on_line(part)
    if not image:
        raise EngineError(f"cannot {what}: Podman's answer ended early", code="engine.dropped")
    return _with_algorithm(image)


def _with_algorithm(image: str) -> str:
    return f"sha256:{image.removeprefix('sha256:')}"

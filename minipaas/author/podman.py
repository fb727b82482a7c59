"""The author's own Podman: build, look up, export. Nothing is ever pulled by itself except what a Containerfile names.

What always holds: an export keeps the image's config as Podman has it. That is why images leave as `docker-archive`: an
`oci-archive` rewrites the config of images in Docker's format, and they would not be what was tested. It also spares
compressing layers that are decompressed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from minipaas.engine import limits
from minipaas.engine.images import ImageFacts, Images
from minipaas.engine.pieces import Pieces
from minipaas.engine.session import Session
from minipaas.engine.socket import OwnService, find_socket
from minipaas.model.errors import EngineDown

_HINT = (
    "start its socket: systemctl start podman.socket (as yourself: systemctl --user start podman.socket), "
    "or name another: --podman unix:///path"
)


class Podman:
    """One Podman, found or started. Use `Podman.open`."""

    def __init__(self, socket: str) -> None:
        self._images = Images(socket)
        self._session = Session(socket)
        self.version = self._images.version()

    @classmethod
    @contextlib.contextmanager
    def open(cls, socket: str) -> Iterator[Podman]:
        """`socket`: `unix:///path`, or empty: CONTAINER_HOST, the system's, the user's, or a service of our own for as
        long as the block lasts. Raises EngineDown, Invalid."""
        with contextlib.ExitStack() as stack:
            try:
                podman = cls(find_socket(socket) or stack.enter_context(_own_service()))
            except EngineDown as error:
                hint = error.hint if error.code == "engine.no_podman" else _HINT
                raise EngineDown(error.message, hint=hint, code=error.code) from None
            stack.callback(podman.close)
            yield podman

    def close(self) -> None:
        """Drop the connections."""
        self._images.close()
        self._session.close()

    def find(self, reference: str) -> ImageFacts | None:
        """An image by name or id; None when there is none. Raises EngineError."""
        return self._images.inspect(reference)

    def build(
        self, context: Path, containerfile: str, tag: str, timestamp: int | None, on_line: Callable[[str], None]
    ) -> str:
        """Build and tag; the image id. Raises Invalid when the build fails, EngineError."""
        return self._images.build(context, containerfile, tag, timestamp, on_line)

    @contextlib.contextmanager
    def export(self, image_id: str) -> Iterator[BinaryIO]:
        """A docker-archive, readable once, forwards. Raises EngineError, also while it is read."""
        stream = self._session.stream(
            f"export image {image_id[7:19]}",
            "GET",
            f"images/{quote(image_id, safe='')}/get",
            params={"format": "docker-archive"},
            timeout=limits.EXPORT,
        )
        with io.BufferedReader(Pieces(stream), 1024**2) as archive:
            yield archive


@contextlib.contextmanager
def _own_service() -> Iterator[str]:
    """A `podman system service` for the moment. Its event loop has a thread of its own: a build is synchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="podman-service", daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="minipaas-author-") as directory:
            service = OwnService(Path(directory))
            socket = asyncio.run_coroutine_threadsafe(service.start(), loop).result(limits.CONNECT * 2)
            try:
                yield socket
            finally:
                asyncio.run_coroutine_threadsafe(service.stop(), loop).result(limits.SERVICE_STOP * 3)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(limits.SERVICE_STOP)
        if not thread.is_alive():
            loop.close()

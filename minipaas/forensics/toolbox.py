"""The toolbox: a small image that minipaas brings along (scripts/toolbox.py), given to Podman when it is needed first.

What always holds: Podman runs exactly the image that came with this minipaas, named by the digest of its config.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineError, MinipaasError

LAYOUT = Path(__file__).parent / "toolbox.oci"
_PIECE = 256 * 1024


class Toolbox:
    """Opens containers of tools beside instances."""

    def __init__(self, engine: Engine, layout: Path = LAYOUT) -> None:
        self._engine = engine
        self._layout = layout
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def open(self, container: str, seconds: float) -> AsyncIterator[str]:
        """One beside this container; its id. Raises EngineError, MinipaasError (`access.no_toolbox`)."""
        image = await asyncio.to_thread(self._image_id)
        beside = self._engine.beside
        async with self._turn:
            if not await beside.has_image(image):
                await beside.load(self._archive())
        async with beside.open(container, image, seconds) as made:
            yield made

    async def present(self) -> bool:
        """Whether Podman has the image. Raises EngineError, MinipaasError (`access.no_toolbox`)."""
        return await self._engine.beside.has_image(await asyncio.to_thread(self._image_id))

    async def take_away(self) -> None:
        """Podman need not have it any more, unless somebody else uses it. Raises EngineError."""
        try:
            await self._engine.remove_image(f"sha256:{await asyncio.to_thread(self._image_id)}")
        except EngineError as error:
            if error.code != "engine.in_use":
                raise

    def _image_id(self) -> str:
        """Hex, as Podman has it."""
        try:
            index = msgspec.json.decode((self._layout / "index.json").read_bytes())
            manifest = msgspec.json.decode(self._blob(index["manifests"][0]["digest"]))
            digest: str = manifest["config"]["digest"]
        except (OSError, msgspec.MsgspecError, KeyError, IndexError):
            raise MinipaasError(
                "cannot open the toolbox: it is not in this installation of minipaas",
                hint="from the sources: python3 scripts/toolbox.py",
                code="access.no_toolbox",
            ) from None
        return digest.removeprefix("sha256:")

    def _blob(self, digest: str) -> bytes:
        return (self._layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    async def _archive(self) -> AsyncIterator[bytes]:
        """The layout as an oci-archive."""
        data = await asyncio.to_thread(self._packed)
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]

    def _packed(self) -> bytes:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path in ("oci-layout", "index.json", "blobs"):
                tar.add(self._layout / path, arcname=path)
        return data.getvalue()

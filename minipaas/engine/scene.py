"""What Podman can tell of a container's scene: how it was made, and which files differ from its image.

Source: Podman API, `containers/{name}/json` and `…/changes`; both work on containers that have ended. Nothing here
changes anything.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from minipaas.engine import limits
from minipaas.engine.calls import Calls
from minipaas.engine.streams import Streams
from minipaas.model.capsule import FileChange, Touched

_WHAT = {0: Touched.MODIFIED, 1: Touched.ADDED, 2: Touched.REMOVED}


class _Config(Struct, frozen=True):
    env: list[str] | None = field(name="Env", default=None)
    command: list[str] | None = field(name="Cmd", default=None)


class _Mount(Struct, frozen=True):
    kind: str = field(name="Type", default="")
    name: str = field(name="Name", default="")
    destination: str = field(name="Destination", default="")


class Making(Struct, frozen=True):
    """How a container was made."""

    path: str = field(name="Path", default="")
    args: list[str] | None = field(name="Args", default=None)
    config: _Config = field(name="Config", default_factory=_Config)
    mounts: list[_Mount] | None = field(name="Mounts", default=None)

    @property
    def command(self) -> tuple[str, ...]:
        """What it ran, the program first."""
        return tuple(word for word in (self.path, *(self.args or ())) if word)

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        pairs = (entry.partition("=") for entry in self.config.env or ())
        return {name: value for name, _, value in pairs}

    @property
    def volumes(self) -> dict[str, str]:
        """Where its named volumes are mounted, by their names."""
        return {mount.name: mount.destination for mount in self.mounts or () if mount.kind == "volume"}


class _Change(Struct, frozen=True):
    path: str = field(name="Path", default="")
    kind: int = field(name="Kind", default=0)


class SceneReader:
    """Reads scenes of containers, alive or dead."""

    def __init__(self, calls: Calls, streams: Streams) -> None:
        self._calls = calls
        self._streams = streams

    async def making(self, container: str) -> Making:
        """How it was made. Raises EngineError."""
        return await self._calls.get("look at the scene", f"containers/{container}/json", Making)

    async def changes(self, container: str) -> list[FileChange]:
        """What differs from its image, in the order of paths. Raises EngineError."""
        body = await self._streams.read(
            "list changed files", "GET", f"containers/{container}/changes", timeout=limits.CALL
        )
        found = msgspec.json.decode(body or b"null", type=list[_Change] | None) or []
        return sorted((FileChange(one.path, _WHAT[one.kind]) for one in found if one.kind in _WHAT), key=_path)


def _path(change: FileChange) -> str:
    return change.path

"""Images that a Podman has for the time of one visit, under a name that says whose they are.

What always holds: an image that was there before is used and left as it is; one that came with a visit goes with the
last one that uses it. Source: Podman API, `images/load`, `images/{name}/tag`, `DELETE images/{name}`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from minipaas.engine import limits
from minipaas.engine.calls import Calls, decode
from minipaas.engine.session import Params
from minipaas.engine.shapes import InspectedImage, ListedNames
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError

_GONE = frozenset({404})
_USED = frozenset({404, 409})


class Lent:
    """Of one Podman. `repository`: names of these images are `REPOSITORY:OWNER`."""

    def __init__(self, calls: Calls, streams: Streams, repository: str) -> None:
        self._calls = calls
        self._streams = streams
        self._repository = repository

    async def names(self, image: str) -> list[str] | None:
        """What an image (`sha256:<hex>`) is called; None: it is not there. Raises EngineError."""
        what = f"look for the image {image[7:19]}"
        status, body = await self._calls.call(what, "GET", f"images/{quote(image)}/json", accept=_GONE)
        return None if status in _GONE else decode(what, body, InspectedImage).repo_tags or []

    def name(self, owner: str) -> str:
        """Of an owner's image."""
        return f"{self._repository}:{owner}"

    async def load(self, archive: AsyncIterator[bytes]) -> None:
        """An `oci-archive`. Raises EngineError, NoSpace, and what `archive` raises."""
        await self._streams.send("load the image", "POST", "images/load", archive, silence=limits.EXPORT)

    async def take(self, image: str, owner: str) -> None:
        """It is this owner's too. Raises EngineError."""
        params: Params = {"repo": self._repository, "tag": owner}
        await self._calls.call("name the image", "POST", f"images/{quote(image)}/tag", params=params)

    async def owners(self) -> list[str]:
        """Whose images are there. Raises EngineError."""
        listed = await self._calls.get_list("list images", "images/json", ListedNames, params={"all": True})
        names = [name.rpartition(":") for one in listed for name in one.names or ()]
        return [owner for repository, _, owner in names if repository == self._repository]

    async def give_back(self, owner: str) -> None:
        """Take the owner's name off, and the image away when nobody else has it. Raises EngineError."""
        status, body = await self._calls.call(
            "take the image away",
            "DELETE",
            f"images/{quote(self.name(owner), safe='')}",
            timeout=limits.REMOVE_IMAGE,
            accept=_USED,
            slow=True,
        )
        if status == 409:
            raise EngineError(
                f"cannot take the image away: {body[:200].decode(errors='replace')}", code="engine.in_use"
            )

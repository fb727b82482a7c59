"""A container of tools beside an instance: it shares the instance's processes and network, and reaches its files
through /proc/1/root; the instance's own container stays as it is.

What always holds: it may look (SYS_PTRACE and DAC_READ_SEARCH, which /proc/1/root asks for; KILL; NET_RAW for ping) and
has no other capability; it ends by itself soon after the time it was made for, also when nobody is there to remove it;
it never keeps an instance from being removed (`Engine.remove` takes what depends on it along).

Source: Podman API, `containers/create` (`pidns`, `netns`, `userns` of another container), `images/load`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.calls import Calls, decode
from minipaas.engine.info import EngineInfo
from minipaas.engine.session import Params
from minipaas.engine.shapes import Created, ListedContainer
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError, MinipaasError

log = logging.getLogger(__name__)

DEBUG = "debug"
"""The label's value: neither an instance nor a hook, so that nobody counts it."""
CAPABILITIES = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_NET_RAW")
_GONE = frozenset({404})


class _Loaded(Struct, frozen=True):
    names: list[str] | None = msgspec.field(name="Names", default=None)


class Beside:
    """Makes such containers, and removes them."""

    def __init__(self, calls: Calls, streams: Streams, info: EngineInfo, box: str) -> None:
        self._calls = calls
        self._streams = streams
        self._info = info
        self._box = box

    async def has_image(self, image: str) -> bool:
        """Whether Podman has an image of this id (hex)."""
        status, _ = await self._calls.call("look for the toolbox", "GET", f"images/{image}/exists", accept=_GONE)
        return status not in _GONE

    async def load(self, archive: AsyncIterator[bytes]) -> None:
        """An image from an archive. Raises EngineError."""
        async with self._streams.open(
            "load the toolbox", "POST", "images/load", data=archive, total=limits.CREATE
        ) as answer:
            decode("load the toolbox", await answer.read(), _Loaded)

    @asynccontextmanager
    async def open(self, container: str, image: str, seconds: float) -> AsyncIterator[str]:
        """One beside this container, running, for so many seconds at most; its id. Raises EngineError."""
        what = f"open the toolbox beside {container[:12]}"
        wanted = self._body(container, image, seconds)
        _, body = await self._calls.call(what, "POST", "containers/create", json=wanted, timeout=limits.CREATE)
        made = decode(what, body, Created).id
        try:
            await self._calls.call(what, "POST", f"containers/{made}/start", timeout=limits.START)
            yield made
        finally:
            await asyncio.shield(self._remove(made))

    async def sweep(self) -> None:
        """Remove those that a minipaas which was killed has left. Errors are told to the log."""
        filters = msgspec.json.encode({"label": [f"{labels.BOX}={self._box}", f"{labels.KIND}={DEBUG}"]}).decode()
        with contextlib.suppress(EngineError):
            params: Params = {"all": True, "filters": filters}
            for one in await self._calls.get_list("list containers", "containers/json", ListedContainer, params=params):
                await self._remove(one.id)

    def _body(self, container: str, image: str, seconds: float) -> dict[str, Any]:
        shared = {"nsmode": "container", "value": container}
        body: dict[str, Any] = {
            "name": f"minipaas-debug-{container[:12]}-{secrets.token_hex(3)}",
            "image": image,
            "labels": {labels.BOX: self._box, labels.KIND: DEBUG},
            "command": ["sleep", str(math.ceil(seconds) + 60)],
            "httpproxy": False,
            "cap_drop": ["all"],
            "cap_add": list(CAPABILITIES),
            "no_new_privileges": True,
            "pidns": shared,
            "netns": shared,
            "r_limits": [
                {"type": "nofile", "soft": self._info.nofile, "hard": self._info.nofile},
                {"type": "nproc", "soft": self._info.nproc, "hard": self._info.nproc},
            ],
            "resource_limits": {"pids": {"limit": limits.DEBUG_PIDS}}
            if not self._info.controllers or "pids" in self._info.controllers
            else {},
            "log_configuration": {"driver": "none"},
            "restart_policy": "no",
        }
        if self._info.userns_auto:
            body["userns"] = shared
        return body

    async def _remove(self, container: str) -> None:
        try:
            await self._calls.call(
                "remove the toolbox",
                "DELETE",
                f"containers/{container}",
                params={"force": True, "v": True, "timeout": 0},
                timeout=limits.REMOVE,
                accept=_GONE,
                slow=True,
            )
        except MinipaasError as error:
            log.warning("%s", error.message)

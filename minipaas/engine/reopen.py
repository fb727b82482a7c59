"""Containers made from kept scenes, to go into: they hold still, and see nothing of the world.

What always holds: no network but loopback, no published port, volumes read-only, no capability; nothing of the scene's
own program runs by itself (a pause does, catatonit's); such a container belongs to nobody's app, so that neither routes
nor upkeep ever meet it.

Source: Podman API, SpecGenerator; catatonit(1), `-P`.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.archive import Archive, from_thread
from minipaas.engine.calls import Calls, decode
from minipaas.engine.info import EngineInfo, find_init
from minipaas.engine.session import Params
from minipaas.engine.shapes import Created, ListedContainer
from minipaas.model.errors import EngineError

SCENE = "scene"
"""The label's value that tells such a container from instances and hooks."""
OWNER = "io.minipaas.owner"
"""Who has made it, where that is not the box."""
_PAUSE = "/.minipaas-pause"
_GONE = frozenset({404})


class Reopen(Struct, frozen=True, kw_only=True):
    """What to make."""

    name: str
    """Begins the container's name."""
    image: str
    """Id, `sha256:<hex>`; Podman has it."""
    env: Mapping[str, str]
    volumes: Mapping[str, str]
    """Mount points by the names of volumes that are there."""
    user: str | None = None
    workdir: str | None = None
    memory: int | None = None
    pids: int = 1024
    owner: str = ""
    """Who it belongs to, where several make such containers."""


class Reopener:
    """Makes them and takes them away."""

    def __init__(self, calls: Calls, archive: Archive, info: EngineInfo, box: str) -> None:
        self._calls = calls
        self._archive = archive
        self._info = info
        self._box = box

    async def make(self, wanted: Reopen, files: Iterator[bytes] | None) -> tuple[str, str]:
        """A running container with the files of the scene in place; its id and name. `files`: a tar.

        Raises EngineError (`engine.no_init` when there is nothing that could hold it open), and what `files` raises;
        then nothing is left.
        """
        init = find_init()
        if init is None:
            raise EngineError(
                "cannot open a scene: Podman's init catatonit is not on this host",
                hint="apt-get install catatonit",
                code="engine.no_init",
            )
        name = f"{wanted.name}-{secrets.token_hex(3)}"
        what = f"open the scene {wanted.name}"
        body = reopen_body(wanted, name=name, box=self._box, info=self._info, init=init)
        _, answer = await self._calls.call(what, "POST", "containers/create", json=body, timeout=limits.CREATE)
        container = decode(what, answer, Created).id
        try:
            await self._archive.write(container, "/", from_thread(iter((_scratch(),))))
            if files is not None:
                await self._archive.write(container, "/", from_thread(files))
            await self._calls.call(what, "POST", f"containers/{container}/start", timeout=limits.START)
        except BaseException:
            await self.remove(container)
            raise
        return container, name

    async def remove(self, container: str) -> None:
        """Take one away; fine when it is gone. Raises EngineError."""
        await self._calls.call(
            "close a scene",
            "DELETE",
            f"containers/{container}",
            params={"force": True, "v": True, "timeout": 0, "depend": True},
            timeout=limits.REMOVE,
            accept=_GONE,
            slow=True,
        )

    async def present(self) -> list[tuple[str, str]]:
        """Id and owner of those that are there."""
        filters = {"label": [f"{labels.BOX}={self._box}", f"{labels.KIND}={SCENE}"]}
        params: Params = {"all": True, "filters": msgspec.json.encode(filters).decode()}
        listed = await self._calls.get_list("list open scenes", "containers/json", ListedContainer, params=params)
        return [(one.id, (one.labels or {}).get(OWNER, "")) for one in listed]


def _scratch() -> bytes:
    """A tar of the directories that every instance could write to, whether its image has them or not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in labels.SCRATCH:
            info = tarfile.TarInfo(path.strip("/"))
            info.type, info.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(info)
    return out.getvalue()


def reopen_body(wanted: Reopen, *, name: str, box: str, info: EngineInfo, init: str) -> dict[str, Any]:
    """The body of `POST containers/create`. Pure."""
    body: dict[str, Any] = {
        "name": name,
        "image": wanted.image,
        "hostname": wanted.name[:63].rstrip("-"),
        "labels": {labels.BOX: box, labels.KIND: SCENE} | ({OWNER: wanted.owner} if wanted.owner else {}),
        "env": dict(wanted.env),
        "httpproxy": False,
        "entrypoint": [_PAUSE, "-P"],
        "command": [],
        "cap_drop": ["all"],
        "no_new_privileges": True,
        "netns": {"nsmode": "none"},
        "mounts": [{"type": "bind", "source": init, "destination": _PAUSE, "options": ["ro", "nosuid", "nodev"]}],
        "volumes": [
            {"Name": volume, "Dest": path, "Options": ["ro", "nosuid", "nodev"]}
            for volume, path in wanted.volumes.items()
        ],
        "resource_limits": {"pids": {"limit": wanted.pids}},
        "r_limits": [
            {"type": "nofile", "soft": info.nofile, "hard": info.nofile},
            {"type": "nproc", "soft": info.nproc, "hard": info.nproc},
        ],
        "log_configuration": {"driver": "none"},
        "restart_policy": "no",
        "stop_timeout": 1,
    }
    if info.controllers and "pids" not in info.controllers:
        del body["resource_limits"]["pids"]
    if wanted.memory is not None:
        body["resource_limits"]["memory"] = {"limit": wanted.memory, "swap": wanted.memory}
    if wanted.user is not None:
        body["user"] = wanted.user
    if wanted.workdir is not None:
        body["work_dir"] = wanted.workdir
    return body

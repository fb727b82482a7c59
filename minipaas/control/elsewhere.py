"""A scene opened from its file on any machine that has a Podman: no box is needed, and no registry.

The container is the one that the box itself would make (`engine.reopen`): no network, no capability, nothing of the
scene's program runs. Its image is found by its digest: in this Podman, in the file, or in a bundle.

What always holds: the file was checked before, and its archive is looked at whole before anything is made; at the end
nothing of it is left: container, image (when it came with us), files. What a killed one has left, the next one takes
away (`owner`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct

from minipaas.control.exported import SceneFile
from minipaas.control.image_parts import ImageParts, archive, from_bundle
from minipaas.control.owner import gone, this_process
from minipaas.engine.archive import from_thread
from minipaas.engine.attach import Attached, Command
from minipaas.engine.engine import Engine
from minipaas.engine.pieces import Pieces
from minipaas.engine.reopen import Reopen
from minipaas.engine.socket import OwnService, find_socket
from minipaas.forensics.files import unpacked
from minipaas.forensics.secrets import HIDDEN
from minipaas.forensics.toolbox import Toolbox
from minipaas.model.capsule import Capsule
from minipaas.model.errors import EngineError, MinipaasError, Missing, NoSpace
from minipaas.model.units import human_bytes

log = logging.getLogger(__name__)

BOX = "elsewhere"
"""In place of a box's id: no box is meant."""
PREFIX = "minipaas-scene-"
"""Begins the names of directories that we make."""
OWNER = "owner"
TOOLS = 24 * 3600.0
"""Seconds that a container of tools beside it may last."""
CLEAN_UP = 120.0


class Options(Struct, frozen=True, kw_only=True):
    """How it is opened."""

    podman: str = ""
    """`unix:///path`; empty: the usual places, or a service of our own."""
    bundle: Path | None = None
    """Has the image, when file and Podman have not."""
    env: Mapping[str, str] = {}
    """What the file has not, because it may be a secret."""
    on_bytes: Callable[[int, int], None] = lambda _done, _all: None
    """Bytes of the image that were loaded, and how many there are."""


class Visit:
    """A scene that is open."""

    def __init__(self, engine: Engine, container: str, name: str, capsule: Capsule, platform: str) -> None:
        self._engine = engine
        self._container = container
        self._toolbox = Toolbox(engine)
        self.name = name
        self.kept_back = tuple(name for name, value in capsule.environment.items() if value == HIDDEN)
        """Variables whose values are not in the file."""
        self.foreign = "" if platform in ("", engine.info.platform) else platform
        """What the image is for, where that is not this machine."""

    @asynccontextmanager
    async def run(self, command: Command, *, toolbox: bool = False) -> AsyncIterator[Attached]:
        """A command in it, or in a container of tools beside it. Raises EngineError."""
        async with contextlib.AsyncExitStack() as stack:
            container = self._container
            if toolbox:
                if not await self._toolbox.present():
                    stack.push_async_callback(_surely, self._toolbox.take_away)
                container = await stack.enter_async_context(self._toolbox.open(container, TOOLS))
            yield await stack.enter_async_context(self._engine.attach(container, command))


@asynccontextmanager
async def visited(scene: SceneFile, options: Options) -> AsyncIterator[Visit]:
    """The scene, open as long as the block lasts. Raises Missing (`crash.no_image`, `crash.not_in_bundle`), Refused
    (`crash.unsafe`, `crash.image`), EngineDown, EngineError, NoSpace."""
    capsule = scene.exported.capsule
    await asyncio.to_thread(_check_files, scene)
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(_podman(options.podman))
        await _sweep(engine)
        owner = this_process()
        platform = await stack.enter_async_context(_image(engine, scene, options, owner))
        wanted = Reopen(
            name=f"minipaas-scene-{capsule.id}",
            image=capsule.image_id,
            env={name: value for name, value in capsule.environment.items() if value != HIDDEN} | dict(options.env),
            volumes={},
            user=capsule.user,
            workdir=capsule.workdir,
            memory=capsule.memory,
            pids=capsule.pids or 1024,
            owner=owner,
        )
        files = await asyncio.to_thread(_files, scene)
        container, name = await engine.reopener.make(wanted, files)
        stack.push_async_callback(_surely, lambda: engine.reopener.remove(container))
        yield Visit(engine, container, name, capsule, platform)


def _files(scene: SceneFile) -> Iterator[bytes] | None:
    packed = scene.files()
    return unpacked(cast("BinaryIO", Pieces(packed))) if packed is not None else None


def _check_files(scene: SceneFile) -> None:
    for _ in _files(scene) or ():
        pass


@asynccontextmanager
async def _podman(configured: str) -> AsyncIterator[Engine]:
    """One that is there, or a service of our own for the time of the block."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=PREFIX))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        await asyncio.to_thread((directory / OWNER).write_text, this_process())
        socket = find_socket(configured)
        if socket is None:
            service = OwnService(directory, tied=True)
            stack.push_async_callback(_surely, service.stop)
            socket = await service.start()
        engine = await Engine.connect(socket, data=directory, box=BOX, on_news=lambda: None)
        stack.push_async_callback(_surely, engine.close)
        yield engine


async def _surely(work: Callable[[], Awaitable[None]]) -> None:
    """Do it also when somebody has lost patience; what cannot be done is left to the next one."""

    async def safely() -> None:
        try:
            async with asyncio.timeout(CLEAN_UP):
                await work()
        except (MinipaasError, OSError, TimeoutError) as error:
            log.warning("cannot clean up: %s", error)

    task = asyncio.create_task(safely(), name="clean up")
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue  # asked to stop once more, which we are about to do


async def _sweep(engine: Engine) -> None:
    """Take away what those have left that were killed."""
    try:
        for container, owner in await engine.reopener.present():
            if gone(owner):
                await engine.reopener.remove(container)
        for owner in await engine.lent.owners():
            if gone(owner):
                await engine.lent.give_back(owner)
    except EngineError as error:
        log.warning("cannot take away what was left behind: %s", error.message)
    await asyncio.to_thread(_sweep_directories)


def _sweep_directories() -> None:
    for place in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if place.lstat().st_uid == os.geteuid() and gone((place / OWNER).read_text()):
                shutil.rmtree(place)


@asynccontextmanager
async def _image(engine: Engine, scene: SceneFile, options: Options, owner: str) -> AsyncIterator[str]:
    """The image is in Podman for the time of the block; what it is for, as far as that is known."""
    image = scene.exported.capsule.image_id
    names = await engine.lent.names(image) if image else None
    if names is not None and not any(name.startswith(f"{engine.lent.name('')}") for name in names):
        yield ""  # it was here before us, and stays
        return
    platform = ""
    try:
        if names is None:
            parts = await asyncio.to_thread(_parts, scene, options)
            platform = parts.platform
            await _load(engine, parts, options, owner)
        else:
            await engine.lent.take(image, owner)
        yield platform
    finally:
        await _surely(lambda: engine.lent.give_back(owner))


def _parts(scene: SceneFile, options: Options) -> ImageParts:
    capsule = scene.exported.capsule
    found = scene.image()
    if found is None and options.bundle is not None and capsule.image_id:
        found = from_bundle(options.bundle, capsule.image_id)
    if found is not None:
        return found
    raise Missing(
        f"cannot open the scene {capsule.id}: its image is neither in the file nor in this Podman",
        hint="give the bundle of the release that failed: --bundle FILE; or export the scene again on the box: "
        f"minipaas crash export {capsule.id} --with-image",
        code="crash.no_image",
    )


async def _load(engine: Engine, parts: ImageParts, options: Options, owner: str) -> None:
    """Raises NoSpace before anything is loaded, as far as Podman's disk can be seen from here."""
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(engine.info.graph_root).free
        if parts.size > free:
            raise NoSpace(
                f"cannot load the image: it needs {human_bytes(parts.size)}, and {human_bytes(free)} are free in "
                f"{engine.info.graph_root}",
                hint="make room there: podman system prune",
            )
    done = 0

    def counted() -> Iterator[bytes]:
        nonlocal done
        for piece in archive(parts, engine.lent.name(owner)):
            done += len(piece)
            options.on_bytes(min(done, parts.size), parts.size)
            yield piece

    await engine.lent.load(from_thread(counted()))
    if await engine.lent.names(parts.id) is None:
        raise EngineError(
            f"cannot open the scene: Podman made another image than {parts.id[7:19]} of it", code="engine.wrong_image"
        )

"""Going back into a scene: a container made from what was kept, on a lease like every way in, and gone with it.

It has the image, environment and files of the instance that failed, its volumes read-only, and no network. The
environment comes from the release, as far as this box still has it: a capsule holds no secrets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from minipaas.control.execute import ImageSource
from minipaas.engine.engine import Engine
from minipaas.engine.reopen import Reopen
from minipaas.forensics.access import Access, Visitor
from minipaas.forensics.files import unpacked
from minipaas.forensics.leases import OpenLease
from minipaas.forensics.secrets import HIDDEN
from minipaas.forensics.shelf import FILES, Shelf
from minipaas.model.capsule import Capsule
from minipaas.model.errors import EngineError, MinipaasError, Missing
from minipaas.model.lease import Entry
from minipaas.model.observed import Instance, InstanceState, Observed
from minipaas.model.release import Release
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)


class Reopening:
    """One for a running box."""

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        shelf: Shelf,
        access: Access,
        images: ImageSource,
        observed: Callable[[], Observed],
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._shelf = shelf
        self._access = access
        self._images = images
        self._observed = observed

    async def clear(self) -> None:
        """Take away what a minipaas before this one has left open."""
        try:
            for container, _ in await self._engine.reopener.present():
                await self._engine.reopener.remove(container)
        except MinipaasError as error:
            log.warning("cannot close scenes that were left open: %s", error.message)

    @asynccontextmanager
    async def open(self, name: str, program: str, visitor: Visitor) -> AsyncIterator[tuple[Instance, OpenLease]]:
        """A container made from this scene (by id, or by a group's id), as long as the block lasts. `program`: what is
        run in it. Raises Missing (`crash.unknown`, `crash.no_image`), and what `Leases.hold` and Podman do."""
        group, capsule = await asyncio.to_thread(self._shelf.find, name)
        release = await self._release(capsule)
        archive = self._shelf.file(group, capsule.id, FILES)
        async with self._access.leases.hold(
            Entry.SCENE,
            _instance(capsule, capsule.container, capsule.instance),
            what=program,
            actor=visitor.actor,
            origin=visitor.origin,
            reason=visitor.reason,
            seconds=visitor.seconds,
            record=True,
        ) as lease:
            container, called = await self._make(capsule, release, archive if archive.exists() else None)
            try:
                yield _instance(capsule, container, called), lease
            finally:
                await asyncio.shield(self._engine.reopener.remove(container))

    async def _release(self, capsule: Capsule) -> Release:
        try:
            return await self._registry.release(capsule.release)
        except Missing:
            raise _no_image(capsule) from None

    async def _make(self, capsule: Capsule, release: Release, archive: Path | None) -> tuple[str, str]:
        """The container; Podman gets the image again when it has lost it."""
        image = release.images[capsule.service]
        wanted = self._wanted(capsule, release, image.config)
        try:
            return await self._filled(wanted, archive)
        except EngineError as error:
            if error.code != "engine.no_image":
                raise
        try:
            reference = self._images.reference(release.app, image.manifest)
            await self._engine.pull(reference, self._images.username, self._images.password, image.config)
        except MinipaasError as error:
            raise _no_image(capsule) from error
        return await self._filled(wanted, archive)

    async def _filled(self, wanted: Reopen, archive: Path | None) -> tuple[str, str]:
        if archive is None:
            return await self._engine.reopener.make(wanted, None)
        with archive.open("rb") as file:
            return await self._engine.reopener.make(wanted, unpacked(file))

    def _wanted(self, capsule: Capsule, release: Release, image: str) -> Reopen:
        service = release.spec.services[capsule.service]
        environment = {name: value for name, value in capsule.environment.items() if value != HIDDEN}
        there = self._observed().volumes
        return Reopen(
            name=f"minipaas-scene-{capsule.id}",
            image=image,
            env=environment | service.env,
            volumes={name: path for name, path in capsule.volumes.items() if name in there},
            user=service.user,
            workdir=service.workdir,
            memory=None if service.memory is None else int(service.memory),
            pids=service.pids,
        )


def _no_image(capsule: Capsule) -> Missing:
    return Missing(
        f"cannot open the scene {capsule.id}: the image of release {capsule.version or capsule.release[:19]} is not on "
        "this box any more",
        hint=f"what was kept is there all the same: minipaas crash show {capsule.id}",
        code="crash.no_image",
    )


def _instance(capsule: Capsule, container: str, name: str) -> Instance:
    """The scene as the ways in know instances."""
    return Instance(
        id=container,
        name=name,
        app=capsule.app,
        service=capsule.service,
        release=capsule.release,
        fingerprint="",
        slot=capsule.slot,
        generation=0,
        attempt=0,
        state=InstanceState.RUNNING,
    )

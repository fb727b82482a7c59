"""Garbage collection: what no release needs any more. Never the serving, the good or a changing release, nor the newest
confirmed ones, because what is collected here cannot be had again offline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from minipaas.engine.engine import Engine
from minipaas.model.change import AppDesired
from minipaas.model.errors import EngineError
from minipaas.model.observed import Observed
from minipaas.model.release import Release
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)


class Garbage:
    """Collects releases, then their blobs and images. `store` is held while blobs are swept."""

    def __init__(self, registry: Registry, blobs: BlobStore, engine: Engine, store: asyncio.Lock, keep: int) -> None:
        self._registry = registry
        self._blobs = blobs
        self._engine = engine
        self._store = store
        self._keep = keep
        self._unwanted: set[str] = set()
        """Images that are to go; one that a kept scene still needs is asked for again the next time."""

    async def collect(self, observed: Observed) -> int:
        """One collection; and while at it the ballast is put back where there is room, and the registry's daily copy
        renewed. Returns the bytes freed in the blob store."""
        async with self._store:
            desired = {app.app: app for app in (await self._registry.desired()).apps}
            kept: list[Release] = []
            for app, releases in (await self._registry.stored_releases()).items():
                keep = keepers(desired.get(app), releases, self._keep)
                drop = [release.digest for release in releases if release.digest not in keep]
                retired = set(await self._registry.retire(app, drop)) if drop else set()
                kept += [release for release in releases if release.digest not in retired]
                self._unwanted |= _images(release for release in releases if release.digest in retired)
            for app in desired:
                rows = await self._registry.releases(app)
                self._unwanted |= _images(row.release for row in rows if row.retired)
            needed = await self._registry.needed_blobs()
            freed = await asyncio.to_thread(self._blobs.sweep, needed)
            await asyncio.to_thread(self._blobs.ballast.restore)
            await self._registry.keep_copy()
        await self._remove_images(_images(kept), observed)
        await self._drop_notes()
        return freed

    async def _remove_images(self, held: set[str], observed: Observed) -> None:
        self._unwanted -= held
        self._unwanted &= observed.images
        for image in sorted(self._unwanted):
            try:
                await self._engine.remove_image(image)
            except EngineError as error:
                log.info("image %s stays for now: %s", image[7:19], error.message)

    async def _drop_notes(self) -> None:
        """Forget what is remembered of containers that are gone. Whoever is noted before a look and
        not seen in it is gone: a note is written only for a container that is there."""
        noted = await self._registry.notes()
        seen = {one.id for one in (await self._engine.observe()).instances}
        gone = noted.keys() - seen
        if gone:
            await self._registry.drop_notes(gone)


def _images(releases: Iterable[Release]) -> set[str]:
    return {image.config for release in releases for image in release.images.values()}


def keepers(app: AppDesired | None, releases: list[Release], keep: int) -> set[str]:
    """Digests that must stay: in use, on the way in or back, and the newest `keep`. A removed app keeps none."""
    if app is None:
        return set()
    used = {release.digest for release in (app.serving, app.good, app.target) if release is not None}
    if app.change is not None and app.change.fallback is not None:
        used.add(app.change.fallback)
    newest = sorted(releases, key=lambda release: release.order, reverse=True)[:keep]
    return used | {release.digest for release in newest}

"""Garbage collection: what no release needs any more. Never the serving, the good or a changing release, nor the newest
confirmed ones, because what is collected here cannot be had again offline."""

from __future__ import annotations

import asyncio
import logging

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

    async def collect(self, observed: Observed) -> int:
        """One collection; and while at it the ballast is put back where there is room, and the registry's daily copy
        renewed. Returns the bytes freed in the blob store."""
        async with self._store:
            desired = {app.app: app for app in (await self._registry.desired()).apps}
            kept: list[Release] = []
            gone: list[Release] = []
            for app, releases in (await self._registry.stored_releases()).items():
                keep = keepers(desired.get(app), releases, self._keep)
                drop = [release.digest for release in releases if release.digest not in keep]
                retired = set(await self._registry.retire(app, drop)) if drop else set()
                kept += [release for release in releases if release.digest not in retired]
                gone += [release for release in releases if release.digest in retired]
            needed = await self._registry.needed_blobs()
            freed = await asyncio.to_thread(self._blobs.sweep, needed)
            await asyncio.to_thread(self._blobs.ballast.restore)
            await self._registry.keep_copy()
        await self._remove_images(kept, gone, observed)
        return freed

    async def _remove_images(self, kept: list[Release], gone: list[Release], observed: Observed) -> None:
        held = {image.config for release in kept for image in release.images.values()}
        dead = {image.config for release in gone for image in release.images.values()}
        for image in sorted((dead - held) & observed.images):
            try:
                await self._engine.remove_image(image)
            except EngineError as error:
                log.info("image %s stays: %s", image[7:19], error.message)


def keepers(app: AppDesired | None, releases: list[Release], keep: int) -> set[str]:
    """Digests that must stay: in use, on the way in or back, and the newest `keep`. A removed app keeps none."""
    if app is None:
        return set()
    used = {release.digest for release in (app.serving, app.good, app.target) if release is not None}
    if app.change is not None and app.change.fallback is not None:
        used.add(app.change.fallback)
    newest = sorted(releases, key=lambda release: release.order, reverse=True)[:keep]
    return used | {release.digest for release in newest}

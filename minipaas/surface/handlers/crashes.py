"""Crashes: the kept scenes of failed instances."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AbstractContextManager

from aiohttp import web

from minipaas.control import exported
from minipaas.control.exporting import Export, image_of, image_size
from minipaas.forensics.shelf import CAPSULE, FILES, LOG
from minipaas.model.capsule import Capsule, CapsuleGroup
from minipaas.model.errors import Missing
from minipaas.surface.call import Call
from minipaas.surface.wire_crash import Crash, Crashes, CrashGroup, CrashKey, CrashRemoved


async def listing(call: Call) -> Crashes:
    """Groups of all apps, or of one."""
    found = await asyncio.to_thread(call.control.shelf.groups, call.query["app"])
    return Crashes(groups=tuple(map(_view, found)), size=sum(one.size for one in found))


async def one(call: Call) -> Crash:
    """A capsule by its id; by a group's id its latest. Raises Missing(crash.unknown)."""
    shelf, blobs = call.control.shelf, call.control.blobs

    def work() -> Crash:
        group, capsule = shelf.find(_name(call))
        parts = (shelf.file(group, capsule.id, name) for name in (CAPSULE, LOG, FILES))
        size = sum(part.stat().st_size for part in parts if part.exists())
        return Crash(group=_view(group), capsule=capsule, scene_size=size, image_size=image_size(capsule, blobs))

    return await asyncio.to_thread(work)


async def log(call: Call) -> web.FileResponse:
    """The last lines of its log, as they were written."""
    return await _part(call, LOG, "text/plain; charset=utf-8", "txt")


async def files(call: Call) -> web.FileResponse:
    """What it has written."""
    return await _part(call, FILES, "application/zstd", "tar.zst")


async def export(call: Call) -> web.StreamResponse:
    """All of it as one file, signed by this box. It is made as it is sent, and takes no room here."""
    shelf, control, name = call.control.shelf, call.control, _name(call)
    with_image = call.query["image"]

    def begin() -> tuple[Capsule, AbstractContextManager[Export]]:
        group, capsule = shelf.find(name)
        parts = {part: shelf.file(group, capsule.id, part) for part in (CAPSULE, LOG, FILES)}
        there = {part: path for part, path in parts.items() if path.exists()}
        image = image_of(capsule, control.blobs) if with_image else {}
        return capsule, Export.opened(capsule, there, image, exported.box_key(control.data))

    capsule, opening = await asyncio.to_thread(begin)
    with contextlib.ExitStack() as stack:
        export = await asyncio.to_thread(stack.enter_context, opening)
        await call.registry.audit(
            actor=call.caller.actor,
            action="crash.export",
            subject=f"{capsule.app}/{capsule.service} {capsule.id}",
            origin=call.caller.origin,
            result="ok, with its image" if with_image else "ok",
            now=time.time(),
            app=capsule.app,
        )
        ending = exported.ENDING.removeprefix(".")
        response = web.StreamResponse(headers=_named(capsule, exported.MEDIA_TYPE, ending))
        response.content_length = export.size
        await response.prepare(call.request)
        await _send(response, export, call.context.limits.blob_wait)
        await response.write_eof()
    return response


async def _send(response: web.StreamResponse, export: Export, patience: float) -> None:
    pieces = export.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        async with asyncio.timeout(patience):
            await response.write(piece)


async def key(call: Call) -> CrashKey:
    """The key with which this box signs what it exports. Raises Missing(crash.no_key)."""
    public = await asyncio.to_thread(exported.public_key, call.control.data)
    return CrashKey(key_id=public.key_id, public=public.pem().decode())


async def remove(call: Call) -> CrashRemoved:
    """Let a capsule go, or a whole group."""
    name = _name(call)
    group, _ = await asyncio.to_thread(call.control.shelf.find, name)
    removed = await asyncio.to_thread(call.control.shelf.remove, name)
    await call.registry.audit(
        actor=call.caller.actor,
        action="crash.remove",
        subject=f"{group.app}/{group.service} {name}",
        origin=call.caller.origin,
        result=f"{removed} capsule{'s' if removed != 1 else ''}",
        now=time.time(),
        app=group.app,
    )
    return CrashRemoved(capsules=removed)


async def _part(call: Call, part: str, media_type: str, ending: str) -> web.FileResponse:
    shelf = call.control.shelf
    group, capsule = await asyncio.to_thread(shelf.find, _name(call))
    path = shelf.file(group, capsule.id, part)
    if not path.exists():
        raise Missing(
            f"cannot give the files of crash {capsule.id}: it has written none, or none could be kept",
            hint=f"see: minipaas crash show {capsule.id}",
            code="crash.no_files",
        )
    return web.FileResponse(path, headers=_named(capsule, media_type, ending))


def _named(capsule: Capsule, media_type: str, ending: str) -> dict[str, str]:
    """Headers of a download."""
    name = f"{capsule.app}-{capsule.service}-{capsule.id}.{ending}"
    return {
        "Content-Type": media_type,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }


def _name(call: Call) -> str:
    return call.request.match_info["crash"]


def _view(group: CapsuleGroup) -> CrashGroup:
    return CrashGroup(
        id=group.id,
        app=group.app,
        service=group.service,
        reason=group.reason,
        count=group.count,
        first=group.first,
        latest=group.latest,
        kept=group.kept,
        size=group.size,
    )

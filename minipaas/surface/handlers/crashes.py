"""Crashes: the kept scenes of failed instances."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from minipaas.control import exported
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
    group, capsule = await asyncio.to_thread(call.control.shelf.find, _name(call))
    return Crash(group=_view(group), capsule=capsule)


async def log(call: Call) -> web.FileResponse:
    """The last lines of its log, as they were written."""
    return await _part(call, LOG, "text/plain; charset=utf-8", "txt")


async def files(call: Call) -> web.FileResponse:
    """What it has written."""
    return await _part(call, FILES, "application/zstd", "tar.zst")


async def export(call: Call) -> web.FileResponse:
    """All of it as one file, signed by this box."""
    shelf, control = call.control.shelf, call.control

    def work() -> tuple[Capsule, Path]:
        group, capsule = shelf.find(_name(call))
        parts = {name: shelf.file(group, capsule.id, name) for name in (CAPSULE, LOG, FILES)}
        place = shelf.stage(f"export-{secrets.token_hex(8)}")
        with (place / capsule.id).open("xb") as out:
            there = {name: path for name, path in parts.items() if path.exists()}
            exported.export(capsule, there, exported.box_key(control.data), out)
        return capsule, place / capsule.id

    capsule, path = await asyncio.to_thread(work)
    response = _Once(path, headers=_named(capsule, exported.MEDIA_TYPE, exported.ENDING.removeprefix(".")))
    await call.registry.audit(
        actor=call.caller.actor,
        action="crash.export",
        subject=f"{capsule.app}/{capsule.service} {capsule.id}",
        origin=call.caller.origin,
        result="ok",
        now=time.time(),
        app=capsule.app,
    )
    return response


async def key(call: Call) -> CrashKey:
    """The key with which this box signs what it exports."""
    signing = await asyncio.to_thread(exported.box_key, call.control.data)
    return CrashKey(key_id=signing.key_id, public=signing.public.pem().decode())


class _Once(web.FileResponse):
    """A file that is gone when it was sent, or could not be."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        try:
            return await super().prepare(request)
        finally:
            await asyncio.to_thread(shutil.rmtree, Path(self._path).parent, ignore_errors=True)


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

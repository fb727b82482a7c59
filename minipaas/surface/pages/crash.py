"""`/crashes/{crash}`: one kept scene: why an instance ended, and what was found there."""

from __future__ import annotations

from aiohttp import web

from minipaas.surface.call import Call
from minipaas.surface.handlers import crashes
from minipaas.surface.pages.shell import render

CHANGES_SHOWN = 200


async def crash(call: Call) -> web.Response:
    """By its id, or by a group's for its latest. A scene does not change."""
    found = await crashes.one(call)
    capsule = found.capsule
    return await render(
        call,
        "crash.html",
        live=False,
        name=capsule.app,
        group=found.group,
        capsule=capsule,
        scene_size=found.scene_size,
        image_size=found.image_size,
        changes=capsule.changes[:CHANGES_SHOWN],
        more_changes=capsule.changes_left_out + max(0, len(capsule.changes) - CHANGES_SHOWN),
    )

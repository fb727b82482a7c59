"""`/crashes/{crash}`: one kept scene: why an instance ended, and what was found there."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.capsule import Figures
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
        used=_used(capsule.figures),
        changes=capsule.changes[:CHANGES_SHOWN],
        more_changes=capsule.changes_left_out + max(0, len(capsule.changes) - CHANGES_SHOWN),
    )


def _used(figures: Figures | None) -> tuple[int, float] | None:
    """The most memory (bytes) and CPU (cores) that it used; None: not known."""
    if figures is None:
        return None
    memory = [value for value in (*figures.memory, *figures.peak) if value is not None]
    cpu = [value for value in figures.cpu if value is not None]
    return (int(max(memory)), max(cpu)) if memory and cpu else None

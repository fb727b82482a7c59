"""`/crashes/{crash}`: one kept scene: why an instance ended, and what was found there."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct

from minipaas.model.capsule import Figures, most_memory
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


class _Used(Struct, frozen=True):
    """The most of each that it used, a second but for memory and CPU; None: not known."""

    memory: int | None
    cpu: float | None
    received: float | None
    sent: float | None
    read: float | None
    written: float | None


def _used(figures: Figures | None) -> _Used | None:
    if figures is None:
        return None
    return _Used(
        most_memory(figures),
        *(
            max((value for value in series if value is not None), default=None)
            for series in (figures.cpu, figures.received, figures.sent, figures.read, figures.written)
        ),
    )

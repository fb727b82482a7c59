"""Deaths, written down as they are seen: the container may be gone before anybody asks."""

from __future__ import annotations

import logging

from minipaas.control.scenes import Scenes
from minipaas.model.errors import MinipaasError
from minipaas.model.observed import Instance, Note, Observed
from minipaas.plan.slots import failed
from minipaas.registry.deaths import Death
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)


class Deaths:
    """One for a running box. What it has written before it was started anew is written once all the same."""

    def __init__(self, registry: Registry, scenes: Scenes) -> None:
        self._registry = registry
        self._scenes = scenes
        self._known: set[tuple[str, float]] = set()

    async def write(self, observed: Observed) -> None:
        """Write those who are new, and have their scenes kept. Never raises: a full disk must not keep the box from
        replacing them."""
        ended = {(one.id, one.finished or 0.0): one for one in observed.instances if _died(one, observed)}
        self._known &= ended.keys()
        fresh = [one for key, one in ended.items() if key not in self._known]
        if fresh:
            try:
                await self._registry.record_deaths([_death(one, observed.notes) for one in fresh])
            except MinipaasError as error:
                log.warning("cannot write down who died: %s", error.message)
                return
            self._scenes.failed((one, observed.notes.get(one.id, Note()).stopped) for one in fresh)
        self._known |= ended.keys()


def _died(one: Instance, observed: Observed) -> bool:
    """Whether it failed by itself; a reboot of the host is no failure."""
    note = observed.notes.get(one.id)
    return failed(one, observed.notes) and not (note and note.boot and note.boot != observed.boot)


def _death(one: Instance, notes: dict[str, Note]) -> Death:
    return Death(
        app=one.app,
        service=one.service,
        container=one.id,
        name=one.name,
        release=one.release,
        at=one.finished or one.created,
        detail=_how(one, notes.get(one.id, Note())),
    )


def _how(one: Instance, note: Note) -> str:
    if note.stopped:
        return note.stopped
    if one.oom_killed:
        return "the kernel killed it: it wanted more memory than its limit"
    code = one.exit_code or 0
    return f"exit code {code}" + (f" (signal {code - 128})" if 128 < code < 193 else "")

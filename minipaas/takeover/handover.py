"""One hand-over that was wished for: which program, and what has to be right on the disk before and after."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path

from minipaas.install.layout import Layout, Version
from minipaas.model.errors import MinipaasError
from minipaas.registry import putback, schema
from minipaas.takeover import limits
from minipaas.takeover.record import State, Step, Story

log = logging.getLogger("minipaas")


class Handover:
    """What `Life` is given. `layout` and `target`: whose link is switched once the target serves; None: the program
    stays the same. `older`: the registry's schema that the target knows, when it is an older one."""

    def __init__(
        self,
        story: Story,
        registry: Path,
        command: tuple[str, ...],
        *,
        layout: Layout | None = None,
        target: Version | None = None,
        older: int | None = None,
    ) -> None:
        self.command = command
        self.trial = target is not None
        self._story = story
        self._registry = registry
        self._layout = layout
        self._target = target
        self._before = layout.current() if layout is not None else None
        self._way_back = layout.previous() if layout is not None else None
        self._older = older
        self._handed = False
        self._put_back = False

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Whoever watches sees it."""
        return self._story.step(title)

    def before(self) -> None:
        """The registry is closed: an older program gets the registry that it knows."""
        self._handed = True
        if self._older is not None:
            back = putback.put_back(self._registry, self._older)
            self._put_back = True
            went_back(self._story, back)

    def ready(self) -> None:
        """The target serves: from now on it is what starts."""
        if self._layout is not None and self._target is not None:
            with self._layout.lock(limits.LINK):
                self._layout.switch(self._target)
        with self._story.edit() as record:
            record.ready = time.time()
            record.starts = 1
        self._story.end(State.TRIAL if self.trial else State.DONE)

    def started(self) -> None:
        """Once more."""
        with self._story.edit() as record:
            record.starts += 1

    def failed(self, reason: str, last_lines: list[str], *, served: bool) -> None:
        """Everything as it was, for the process before to serve again. What cannot be done is told: it has to serve."""
        try:
            if self._handed:
                self._undo()
            if self._layout is not None and self._before is not None and self._layout.current() != self._before:
                with self._layout.lock(limits.LINK):
                    self._layout.restore(self._before, self._way_back)
        except MinipaasError as error:
            log.error("%s", error.message)
            reason = f"{reason}; and {error.message}"
        try:
            self._story.end(State.RETURNED if served and self.trial else State.FAILED, reason, last_lines)
        except MinipaasError as error:
            log.error("%s", error.message)
        log.error("minipaas goes on as it was: %s", reason)

    def _undo(self) -> None:
        """The registry as this program knows it."""
        if self._older is not None:
            if self._put_back and putback.bring_forward(self._registry):
                went_forward(self._story)
        elif putback.schema_of(self._registry) > schema.VERSION:
            went_back(self._story, putback.put_back(self._registry, schema.VERSION))


def went_back(story: Story, back: putback.PutBack) -> None:
    """Say in log and audit what that means. Rows that were written since are not in the copy: they are written
    again."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(back.at))
    log.warning("the registry is that of %s again (schema %d)", since, back.schema)
    with story.edit() as record:
        record.told = 0
        record.note(f"the registry went back to its copy of {since}; what was accepted since is lost")


def went_forward(story: Story) -> None:
    """The same for the way back from there."""
    log.warning("the registry is the one from before again")
    with story.edit() as record:
        record.told = 0
        record.note("the registry is the one from before again; what the older version has accepted is lost")

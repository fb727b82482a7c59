"""What a start makes of a hand-over whose end nobody has seen: all of minipaas was killed in it, or the power went.

It is decided before the registry is opened, by whichever version starts: the one before, as long as the new one has not
served; the new one from then on. What always holds: the version before finds the registry that it knows; a version on
trial starts at most as often as it may crash; what is done here can be cut off anywhere, and is done again.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from minipaas.install.layout import Version
from minipaas.registry import putback, schema
from minipaas.takeover import limits
from minipaas.takeover.handover import went_back, went_forward
from minipaas.takeover.installed import Installed
from minipaas.takeover.record import Kind, Record, State, Story

log = logging.getLogger("minipaas")


def recover(story: Story, here: Installed | None, registry: Path) -> Version | None:
    """The version that this process has to become instead; None: it goes on as it is. Raises MinipaasError when the
    registry that this version knows cannot be had."""
    record = story.load()
    if record is None or here is None or record.kind is Kind.RELOAD:
        return None
    name = here.version.name
    if record.state is State.WORKING and name == record.from_program:
        _own_registry(story, record, registry)
    elif record.state in (State.WORKING, State.TRIAL) and name == record.to_program:
        return _one_more_start(story, record, here, registry)
    elif record.state is State.TRIAL and name == record.from_program:
        story.end(State.RETURNED, "it was stopped on trial, and the version before was started")
    return None


def _own_registry(story: Story, record: Record, registry: Path) -> None:
    """The new version had not served, but may have had the registry already, or one was made ready for it."""
    found = putback.schema_of(registry)
    if found > schema.VERSION:
        went_back(story, putback.put_back(registry, schema.VERSION))
    elif found < schema.VERSION and record.kind is Kind.ROLLBACK and putback.bring_forward(registry):
        went_forward(story)


def _one_more_start(story: Story, record: Record, here: Installed, registry: Path) -> Version | None:
    """Of this version, which is on trial. It is also when it was current, and nobody wrote down any more that it
    served."""
    if record.state is State.WORKING:
        record.state, record.ready, record.starts = State.TRIAL, record.ready or time.time(), max(1, record.starts)
    record.starts += 1
    story.save(record)
    before = here.named(record.from_program)
    if record.starts <= limits.CRASHES or before is None or before == here.version:
        return None
    log.error("minipaas %s has not lasted twice; going back to %s", record.to_version, record.from_version)
    if putback.schema_of(registry) > record.from_schema > 0:
        went_back(story, putback.put_back(registry, record.from_schema))
    with here.layout.lock(limits.LINK):
        here.layout.restore(before, here.named(record.back_program))
    story.end(State.RETURNED, f"it did not last {record.trial:g} s, {limits.CRASHES} times")
    return before

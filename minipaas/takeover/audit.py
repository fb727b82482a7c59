"""The rows of a hand-over in the audit. They wait in its record while nobody has the registry open, and are written by
whoever opens it next."""

from __future__ import annotations

from minipaas.registry.registry import Registry
from minipaas.takeover.record import Story


class Rows:
    """Of one record, whoever writes into it."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._seen = 0

    async def write(self, registry: Registry) -> None:
        """Those that wait; cheap when there are none. Raises MinipaasError."""
        try:
            changed = self._story.path.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._seen:
            return
        record = self._story.load()
        if record is not None and record.told < len(record.entries):
            for entry in record.entries[record.told :]:
                await registry.audit(
                    actor=record.actor,
                    action=entry.action,
                    subject=entry.subject,
                    origin=record.origin,
                    result=entry.result,
                    now=entry.at,
                )
            with self._story.edit() as edited:
                edited.told = len(record.entries)
            changed = self._story.path.stat().st_mtime_ns
        self._seen = changed

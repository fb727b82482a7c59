"""What somebody asks for, ready to be used: what to ask the index, and whether a line fits.

Words are runs of ASCII letters and digits. A text is found where it begins with a word, in any case, and its last word
may go on: `time` finds `timeout` and not `runtime`. The index knows which blocks have such words; the lines of those
are then looked at. A text of which the index knows nothing (no ASCII word, or a leading `*`) is looked for in all.
"""

from __future__ import annotations

import re

from minipaas.model.logs import Line, Source, Stream, Wanted
from minipaas.telemetry import limits
from minipaas.telemetry.logs.level import at_least, level_of, names

_WORD = re.compile(rb"[a-z0-9]+")


class Filter:
    """Made once for a request."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        inside = wanted.text.startswith("*")
        self._text = wanted.text.removeprefix("*").encode(errors="replace").lower()
        self._from_word = not inside and bool(_WORD.match(self._text[:1]))
        self._levels = at_least(wanted.level) if wanted.level is not None else None
        self.match = _and("" if inside else _index_of(self._text), _level_index(wanted))
        """For FTS5's MATCH; empty: every block may have such lines."""
        self.since = wanted.since
        self.until = wanted.until if wanted.until is not None else 1 << 62
        if wanted.before is not None:
            self.until = min(self.until, wanted.before[0] + 1)

    def of_source(self, source: Source) -> bool:
        """Whether this container's lines are wanted at all."""
        wanted = self.wanted
        names = (source.instance, f"minipaas-{source.instance}", source.container)  # the second is Podman's
        return (
            (wanted.service is None or source.service == wanted.service)
            and (wanted.instance is None or wanted.instance in names)
            and (wanted.releases is None or source.release in wanted.releases)
        )

    def fits(self, line: Line) -> bool:
        """Whether this line of such a container is wanted. What minipaas remarks on lines that are missing always is,
        unless a text was asked for."""
        if not self.since <= line.time < self.until:
            return False
        if self.wanted.before is not None and line.order >= self.wanted.before:
            return False
        if self._text and not self._has_text(line.text):
            return False
        if line.stream is Stream.MINIPAAS:
            return True
        if self.wanted.stream is not None and line.stream is not self.wanted.stream:
            return False
        return self._levels is None or level_of(line.text) in self._levels

    def may_have(self, data: bytes) -> bool:
        """Whether a block whose lines lie in one piece may have a line that fits; quick."""
        stream = self.wanted.stream
        if stream is not None and f" {stream} ".encode() not in data and b" minipaas " not in data:
            return False
        return not self._text or self._text in data.lower()

    def _has_text(self, text: bytes) -> bool:
        text = text.lower()
        at = text.find(self._text)
        while at >= 0:
            if not self._from_word or not _WORD.match(text[at - 1 : at] if at else b""):
                return True
            at = text.find(self._text, at + 1)
        return False


def _index_of(text: bytes) -> str:
    """The words of a text as a query; the last one may go on."""
    found = [match[0].decode() for match in _WORD.finditer(text)]
    goes_on = _WORD.match(text[-1:]) is not None
    parts = [f'"{word}"' for word in (found[:-1] if goes_on else found)]
    if goes_on and len(found[-1]) >= limits.LOG_PREFIX:
        parts.append(f'"{found[-1]}"*')
    return " AND ".join(parts)


def _level_index(wanted: Wanted) -> str:
    # Remarks of minipaas are shown with every level, and have this word.
    return " OR ".join(f'"{name}"' for name in (*names(wanted.level), "minipaas")) if wanted.level is not None else ""


def _and(*parts: str) -> str:
    return " AND ".join(f"({part})" for part in parts if part)

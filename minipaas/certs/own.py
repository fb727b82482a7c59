"""The operator's certificates as they are on the disk now, or as they last were good.

What always holds: a file that cannot be used takes nothing away: what was loaded from it before goes on serving, and
`troubles` says what is wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from minipaas.certs import pem
from minipaas.certs.limits import LIMITS, Limits
from minipaas.certs.pair import Pair
from minipaas.model.certificate import wildcard_of
from minipaas.model.errors import Invalid

log = logging.getLogger("minipaas.certs")

Files = tuple[Path, Path]
"""(certificate chain, key); they may be one file."""
_Print = tuple[tuple[int, int, int] | None, ...]


class OwnFiles:
    """Some pairs of PEM files."""

    def __init__(self, files: Sequence[Files], limits: Limits = LIMITS) -> None:
        self._files = tuple(files)
        self._limits = limits
        self._seen: dict[Files, _Print] = {}
        self._pairs: dict[Files, Pair] = {}
        self.troubles: dict[str, Invalid] = {}
        """By file of the certificate."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What serves, in the operator's order."""
        return tuple(self._pairs[one] for one in self._files if one in self._pairs)

    def look(self, force: bool = False) -> bool:
        """Load what has changed on the disk, or with `force` everything; whether other certificates serve now. A file
        that was written just now is left for the next look: its other half may still be on its way. Blocks."""
        changed = False
        for one in self._files:
            prints = tuple(map(_print, one))
            if not force and (prints == self._seen.get(one) or (one in self._seen and self._damp(prints))):
                continue
            self._seen[one] = prints
            try:
                pair = pem.load(*one, self._limits)
            except Invalid as error:
                self.troubles[str(one[0])] = error
                log.warning("%s%s", error.message, "; the one before it goes on serving" if one in self._pairs else "")
                continue
            self.troubles.pop(str(one[0]), None)
            if self._pairs.get(one) != pair:
                self._pairs[one] = pair
                changed = True
                log.info("certificate of %s from %s", ", ".join(pair.facts.names), one[0])
        return changed

    def find(self, name: str, now: float) -> Pair | None:
        """The one for a name: with the very name in it, else with its wildcard; of several the one good for longest,
        one that is good at all first."""
        for wanted in (name, wildcard_of(name)):
            found = [pair for pair in self.pairs if wanted in pair.facts.names]
            if found:
                return max(found, key=lambda pair: (pair.facts.not_before <= now, pair.facts.not_after))
        return None

    def _damp(self, prints: _Print) -> bool:
        now = time.time()
        return any(one is not None and 0 <= now - one[0] / 1e9 < self._limits.damp for one in prints)


def _print(path: Path) -> tuple[int, int, int] | None:
    """What tells one state of a file from the next."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

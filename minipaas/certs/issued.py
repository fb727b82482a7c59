"""Certificates that the box's own CA has made: by their names, in memory, and on the disk those that are wanted again.

What always holds: a certificate is made anew long before it ends, and when the time turns out to lie before its
beginning (it was made by a clock that ran ahead); there are never more than `limits.issued`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

from minipaas.certs import files
from minipaas.certs.authority import Authority
from minipaas.certs.limits import LIMITS, Limits
from minipaas.certs.pair import Pair

log = logging.getLogger("minipaas.certs")

Names = tuple[str, ...]


def due(pair: Pair, now: float, limits: Limits = LIMITS) -> bool:
    """Whether it is time for the next one. `now`: trusted time, Unix seconds."""
    return not pair.facts.not_before <= now <= pair.facts.not_after - limits.renew


class Issued:
    """What the CA has made so far."""

    def __init__(self, directory: Path, authority: Authority, limits: Limits = LIMITS) -> None:
        self._directory = directory
        self._authority = authority
        self._limits = limits
        self._pairs: dict[Names, Pair] = {}
        self._unsaved: set[Names] = set()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All of them."""
        return tuple(self._pairs.values())

    def unsaved(self, names: Names) -> bool:
        """Whether this one is not on the disk yet."""
        return names in self._unsaved

    def load(self) -> None:
        """Take up what an earlier process has made; what is not of this CA is deleted. Blocks."""
        for path in sorted(self._directory.glob("*.pem"))[: 2 * self._limits.issued]:
            pair = self._read(path)
            if pair is None:
                path.unlink(missing_ok=True)
            else:
                self._pairs[pair.facts.names] = pair

    def get(self, names: Names, now: float, wanted: Collection[Names] = ()) -> Pair:
        """The certificate for these names, made if there is none. Those that are `wanted` do not make room for it."""
        pair = self._pairs.get(names)
        if pair is None:
            if len(self._pairs) >= self._limits.issued:
                stranger = next((one for one in self._pairs if one not in wanted), next(iter(self._pairs)))
                del self._pairs[stranger]
                self._unsaved.add(stranger)
            pair = self._make(names, now)
        return pair

    def renew(self, now: float) -> bool:
        """Make those anew for which it is time; whether there were any."""
        late = [names for names, pair in self._pairs.items() if due(pair, now, self._limits)]
        for names in late:
            self._make(names, now)
        return bool(late)

    def save(self, wanted: Collection[Names]) -> None:
        """Write those that are wanted and not on the disk yet; delete files of those that are gone. Blocks. A disk
        that does not take them costs nothing now: they are made again after the next start."""
        for names in tuple(self._unsaved):
            pair = self._pairs.get(names)
            if pair is not None and names not in wanted:
                continue
            self._unsaved.discard(names)
            try:
                if pair is None:
                    self._path(names).unlink(missing_ok=True)
                else:
                    files.write(self._path(names), pair.chain + pair.key)
            except OSError as error:
                log.warning("cannot keep the certificate of %s: %s", ", ".join(names), error.strerror)

    def forget(self, wanted: Collection[Names]) -> None:
        """Let go of those that nobody wants; whoever asks for one gets a new one."""
        for names in [one for one in self._pairs if one not in wanted]:
            del self._pairs[names]
            self._unsaved.add(names)

    def _make(self, names: Names, now: float) -> Pair:
        pair = self._pairs[names] = self._authority.issue(names, now)
        self._unsaved.add(names)
        return pair

    def _path(self, names: Names) -> Path:
        return self._directory / f"{hashlib.sha256(' '.join(names).encode()).hexdigest()[:32]}.pem"

    def _read(self, path: Path) -> Pair | None:
        from minipaas.certs import pem
        from minipaas.model.errors import Invalid

        try:
            pair = pem.load(path, path, self._limits)
        except Invalid:
            return None
        return self._authority.adopt(pair)

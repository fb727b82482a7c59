"""Which accepted release each program in the layout is. The registry knows what was accepted, the layout what lies
there; this file in the data directory says which is which.

What always holds: the file is replaced whole, and is on the disk before a program of it can serve; a program that
`minipaas install` laid out is of no release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from minipaas.install import files
from minipaas.install.layout import Version
from minipaas.model.errors import Refused
from minipaas.model.release import Floor, Release
from minipaas.model.spec import RESERVED
from minipaas.model.typed import from_json, to_json

NAME = "programs.json"
_MOST = 1024**2


class Origin(Struct, frozen=True):
    """A release of minipaas itself."""

    digest: str
    epoch: int
    sequence: int


class Origins:
    """The file. Programs are named by their directory."""

    def __init__(self, data: Path) -> None:
        self._path = data / NAME

    def of(self, program: str) -> Origin | None:
        """None for one that came in no bundle."""
        return self._load().get(program)

    def note(self, program: str, release: Release, here: Iterable[str]) -> None:
        """A program came in a release; forget those that are no longer `here`. Raises MinipaasError, NoSpace."""
        kept = set(here)
        known = {name: one for name, one in self._load().items() if name in kept}
        known[program] = Origin(release.digest, release.epoch, release.sequence)
        files.write(self._path, to_json(known).decode(), 0o600)

    def _load(self) -> dict[str, Origin]:
        """Nothing when it is damaged."""
        try:
            with self._path.open("rb") as file:
                return from_json(file.read(_MOST), dict[str, Origin])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return {}


def refuse_below(target: Version, origin: Origin | None, floors: Mapping[str, Floor]) -> None:
    """As for apps: what its author no longer allows is not gone back to. A program that came in no bundle has no
    sequence; it is allowed as long as none is forbidden. Raises Refused."""
    floor = floors.get(RESERVED, Floor())
    if origin is None and not floor.min_sequence:
        return
    if origin is not None and (origin.epoch, origin.sequence) >= (floor.epoch, floor.min_sequence):
        return
    is_it = (
        "it came in no bundle, so its sequence is not known"
        if origin is None
        else f"its sequence is {origin.sequence} of epoch {origin.epoch}"
    )
    raise Refused(
        f"cannot go back to minipaas {target.version}: {is_it}; the lowest that its author still allows is"
        f" {floor.min_sequence} of epoch {floor.epoch}",
        hint=f"upgrade to a newer one; or, as whoever owns this host: {target.executable} install",
        code="release.below_floor",
    )

"""This program as it lies in a layout."""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec import Struct

from minipaas import program
from minipaas.install.layout import PROGRAM, Layout, Version


class Installed(Struct, frozen=True):
    """This program, as `minipaas install` or an upgrade has laid it out."""

    layout: Layout
    version: Version

    def named(self, name: str) -> Version | None:
        """The version in that directory; None when it is not here (any more)."""
        return next((one for one in self.layout.versions() if one.name == name), None)


def installed() -> Installed | None:
    """Where this program lies in a layout; None when it does not."""
    tree = program.tree()
    found = Layout.holding(tree / PROGRAM if tree is not None else Path(sys.argv[0]))
    return Installed(*found) if found is not None else None

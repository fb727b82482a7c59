"""Documents as scripts: what a reader would type, in the order in which it stands there.

```sh              every line is typed
```console         the lines that begin with `$ ` are typed, the rest is what the program says
```sh NAME         run by the test that asks for `block(document, NAME)`
<!-- prepare …-->  typed too, and not shown: what the reader of that place already has
"""

from __future__ import annotations

import re
from pathlib import Path

from kit.box import REPO
from msgspec import Struct

_PIECE = re.compile(
    r"<!-- prepare\n(?P<prepare>.*?)-->|^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
SHELLS = ("sh", "console")


class Block(Struct, frozen=True):
    """A piece of a document that is typed. `name`: of the test that runs it, empty when it runs with its document."""

    name: str
    typed: str


def documents() -> list[Path]:
    """Every document that is for readers."""
    found = [REPO / "README.md", *(REPO / "docs").glob("*.md"), *(REPO / "examples").glob("*/README.md")]
    return sorted(found)


def blocks(document: Path) -> list[Block]:
    """Everything that is typed, in order."""
    found = []
    for piece in _PIECE.finditer(document.read_text()):
        if piece["prepare"] is not None:
            found.append(Block("", piece["prepare"]))
            continue
        kind, _, name = piece["info"].partition(" ")
        if kind in SHELLS:
            body = piece["body"]
            typed = "".join(f"{line[2:]}\n" for line in body.splitlines() if line.startswith("$ "))
            found.append(Block(name, typed if kind == "console" else body))
    return found


def script(document: Path) -> str:
    """All that runs with its document."""
    return "".join(block.typed for block in blocks(document) if not block.name)


def block(document: str, name: str) -> str:
    """One named block; `document` from the repository's root. Raises KeyError."""
    return {one.name: one.typed for one in blocks(REPO / document)}[name]

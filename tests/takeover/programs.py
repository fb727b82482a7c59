"""Versions of minipaas to upgrade to and from: copies of the sources as program trees, each with what is to be
different in it written into the copy. What is tried is the real program, in a layout as `minipaas install` makes it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from minipaas.author.own import Request, bundle_self
from minipaas.install.layout import Layout
from tests.bundle.builders import default_trust

SOURCES = Path(__file__).parents[2] / "minipaas"
LAUNCHER = """#!{python}
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
sys.dont_write_bytecode = True
from minipaas.__main__ import main

main()
"""
Change = Callable[[Path], None]


def program(directory: Path, version: str, change: Change | None = None) -> Path:
    """A program tree of that version. `change` may edit the copied package."""
    tree = directory / f"tree-{version}"
    shutil.copytree(SOURCES, tree / "lib" / "minipaas", ignore=shutil.ignore_patterns("__pycache__"))
    about = tree / "lib" / f"minipaas-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: minipaas\nVersion: {version}\n")
    launcher = tree / "minipaas"
    launcher.write_text(LAUNCHER.format(python=sys.executable))
    launcher.chmod(0o755)
    if change is not None:
        change(tree / "lib" / "minipaas")
    return tree


def install(home: Path, tree: Path, version: str) -> tuple[str, ...]:
    """Lay it out and make it current; the words that start it."""
    layout = Layout(home)
    with layout.lock():
        layout.switch(layout.place(tree, version))
    return (str(home / "current" / "minipaas"),)


class Quiet:
    """Progress that nobody watches."""

    def begin(self, title: str, total: int | None) -> None: ...
    def advance(self, count: int) -> None: ...
    def line(self, text: str) -> None: ...
    def done(self, title: str) -> None: ...


def bundle(directory: Path, tree: Path, *, sequence: int = 1, min_sequence: int = 0) -> Path:
    """Signed by the tests' author."""
    keys, root = default_trust()
    (directory / "author.key").write_bytes(keys[0].pem())
    (directory / "root.json").write_bytes(root)
    made = directory / f"{tree.name}.bundle"
    bundle_self(
        Request(
            program=tree,
            output=made,
            keys=(directory / "author.key",),
            roots=(directory / "root.json",),
            issued=int(time.time()),
            sequence=sequence,
            min_sequence=min_sequence,
            platform="linux/amd64",
        ),
        Quiet(),
    )
    return made


def insert(module: str, before: str, text: str) -> Change:
    """Write something into a module of the copy."""

    def change(package: Path) -> None:
        path = package / module
        source = path.read_text()
        assert before in source, f"{module} has changed: there is no {before!r}"
        path.write_text(source.replace(before, text + before, 1))

    return change

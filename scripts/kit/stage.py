"""What a bench or a soak plays on: a private Podman, a box on it, and an author whom the box trusts.

What always holds: all of it is under the directories of its Podmans, and goes with them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.box import Author, Box, Program, prepare
from kit.podman import PrivatePodman


@dataclass(frozen=True)
class Stage:
    podman: PrivatePodman
    author: Author
    box: Box
    hello: Path
    """The source of the example, with its base image made."""

    def source(self, name: str) -> Path:
        """A copy of the example of one's own, to be changed and built."""
        copy = self.author.directory / name
        shutil.copytree(self.hello, copy, symlinks=True)
        return copy


@contextlib.contextmanager
def stage(*, workshop: bool = False, tls: bool = False, config: str = "") -> Iterator[Stage]:
    """With `workshop`, the author builds on a Podman of its own, so that images reach the box's in bundles only."""
    with contextlib.ExitStack() as stack:
        podman = stack.enter_context(PrivatePodman())
        maker = stack.enter_context(PrivatePodman()) if workshop else podman
        author = Author(maker.directory / "author", Program(maker))
        author.make_keys()
        hello = prepare("hello", maker)
        box = stack.enter_context(Box(podman.directory / "box", Program(podman), tls=tls, config=config))
        box.cli("trust", "add", author.root)
        yield Stage(podman, author, box, hello)

"""The files of an unpacked program, as one thing: how large it is, its digest, and a copy of it on the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from minipaas.install import limits
from minipaas.install.failures import explained
from minipaas.install.files import sync
from minipaas.model.errors import Invalid
from minipaas.model.units import human_bytes

PROGRAM = "minipaas"
"""The executable at the top."""
Progress = Callable[[int, int], None]
"""Hears bytes copied so far, and bytes in all."""


class Tree(Struct, frozen=True):
    """The content of an unpacked program: what there is, how large, and its digest."""

    top: Path
    entries: tuple[tuple[str, int], ...]
    """(relative path, mode), parents before children."""
    size: int
    digest: str
    """sha256 over every path with its kind and content, hex."""

    @classmethod
    def of(cls, top: Path) -> Tree:
        """Read the whole tree. Raises Invalid for what cannot be an unpacked program."""
        with explained(f"read {top}"):
            if not os.access(top / PROGRAM, os.X_OK) or not (top / PROGRAM).is_file():
                raise _unfit(top, f"there is no executable {PROGRAM!r} in it")
            entries, size = [], 0
            for path in _walk(top):
                mode = path.lstat().st_mode
                entries.append((str(path.relative_to(top)), mode))
                size += path.lstat().st_size if stat.S_ISREG(mode) else 0
                if len(entries) > limits.TREE_FILES or size > limits.TREE_BYTES:
                    raise _unfit(
                        top, f"it is larger than {limits.TREE_FILES} files or {human_bytes(limits.TREE_BYTES)}"
                    )
            return cls(top, tuple(entries), size, _digest(top, entries))

    def copy(self, target: Path, progress: Progress | None) -> None:
        """Write the tree to a place that is not there yet, and onto the disk."""
        target.mkdir(mode=0o755)
        target.chmod(0o755)
        directories, done = [target], 0
        for name, mode in self.entries:
            path, source = target / name, self.top / name
            if stat.S_ISDIR(mode):
                path.mkdir(mode=0o755)
                path.chmod(0o755)
                directories.append(path)
            elif stat.S_ISLNK(mode):
                path.symlink_to(source.readlink())
            else:
                with source.open("rb") as reading, path.open("xb") as writing:
                    while piece := reading.read(limits.PIECE):
                        writing.write(piece)
                        done += len(piece)
                        if progress is not None:
                            progress(done, self.size)
                    os.fchmod(writing.fileno(), 0o755 if mode & 0o100 else 0o644)
                    writing.flush()
                    os.fsync(writing.fileno())
        for directory in reversed(directories):
            sync(directory)


def _walk(top: Path) -> Iterator[Path]:
    """Everything below, sorted, parents first. Raises Invalid for links that lead out and for special files."""
    for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_symlink():
            goal = path.readlink()
            if goal.is_absolute() or ".." in goal.parts:
                raise _unfit(top, f"{entry.name} is a link that leads out of it")
        elif not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
            raise _unfit(top, f"{entry.name} is neither a file nor a directory nor a link")
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def _digest(top: Path, entries: list[tuple[str, int]]) -> str:
    """Of all entries: path, kind, whether it is executable, content."""
    whole = hashlib.sha256()
    for name, mode in entries:
        if stat.S_ISDIR(mode):
            kind, content = "dir", ""
        elif stat.S_ISLNK(mode):
            kind, content = "link", str((top / name).readlink())
        else:
            kind = "program" if mode & 0o100 else "file"
            with (top / name).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(b"\0".join(os.fsencode(part) for part in (name, kind, content)) + b"\n")
    return whole.hexdigest()


def _unfit(top: Path, why: str) -> Invalid:
    return Invalid(f"cannot take {top} as an unpacked minipaas: {why}", code="install.tree")

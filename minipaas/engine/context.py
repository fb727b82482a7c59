"""A build context as a tar: what a Containerfile's COPY can see, without what `.containerignore` names.

Podman applies the ignore file again by itself; leaving the files out here saves sending them (`.git`, `node_modules`).
The rules are those of containers-ignore: a pattern is rooted at the context, `**` crosses directories, a directory
takes all below it, `!` takes back, the last match wins. The tar is the same for the same files: sorted, owner 0.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

IGNORE_FILES = (".containerignore", ".dockerignore")
MAX_IGNORE = 1024**2


class Ignore:
    """The patterns of one ignore file."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = [(pattern.startswith("!"), _compile(pattern.removeprefix("!"))) for pattern in patterns]
        self.takes_back = any(back for back, _ in self._rules)

    @classmethod
    def read(cls, context: Path) -> Ignore:
        """From the context's ignore file; `.containerignore` comes before `.dockerignore`. Raises OSError."""
        for name in IGNORE_FILES:
            path = context / name
            if path.is_file():
                with path.open(encoding="utf-8", errors="replace") as file:
                    lines = [line.strip() for line in file.read(MAX_IGNORE).splitlines()]
                return cls([line for line in lines if line and not line.startswith("#")])
        return cls([])

    def __call__(self, path: str) -> bool:
        """Whether this path (relative, `/` between parts) stays out."""
        out = False
        for back, rule in self._rules:
            if out is back and rule.fullmatch(path):
                out = not back
        return out


def write_context(context: Path, containerfile: str, out: BinaryIO) -> None:
    """Write the tar. `containerfile` (relative to the context) and the ignore files are always in. Raises OSError."""
    ignore = Ignore.read(context)
    keep = {containerfile, *IGNORE_FILES}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in _walk(context, context, ignore, keep):
            info = tar.gettarinfo(path, arcname=path.relative_to(context).as_posix())
            if info is None or not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
                continue  # sockets and devices have no place in an image
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            if info.isfile():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)


def _walk(context: Path, directory: Path, ignore: Ignore, keep: set[str]) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        name = path.relative_to(context).as_posix()
        out = ignore(name) and name not in keep
        if not out:
            yield path
        # Something below an ignored directory may be taken back, or be the Containerfile.
        below = not out or ignore.takes_back or any(kept.startswith(f"{name}/") for kept in keep)
        if below and path.is_dir() and not path.is_symlink():
            yield from _walk(context, path, ignore, keep)


def _compile(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression over a whole path; what it names takes everything below along."""
    text = pattern.strip().strip("/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    out = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            out += ".*" if last else "(?:.*/)?"
        else:
            out += _segment(part) + ("" if last else "/")
    return re.compile(f"{out}(?:/.*)?", re.DOTALL)


def _segment(part: str) -> str:
    out, at = "", 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            while at < len(part) and part[at] == "*":  # `a**b` within a name is Go's `.*`
                at += 1
            out += ".*" if part[at - 2 : at] == "**" else "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and "]" in part[at:]:
            end = part.index("]", at)
            out += "[" + part[at:end].replace("\\", "\\\\") + "]"
            at = end + 1
        elif char == "\\" and at < len(part):
            out += re.escape(part[at])
            at += 1
        else:
            out += re.escape(char)
    return out

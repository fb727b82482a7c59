"""The files that a container of an image would see, read from the layers without unpacking them.

What always holds: the highest layer wins; a whiteout (`.wh.NAME`) hides what lower layers have there and below it, an
opaque one (`.wh..wh..opq`) the lower layers' content of its directory, and neither touches its own layer; a file hides
a lower directory of its name with everything in it. Only the wanted files are ever read. OCI image layer
specification 1.0, "Applying Changesets".
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

_OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."


class _Place(Struct, frozen=True):
    """Where the bytes of a regular file lie."""

    layer: Path
    offset: int
    size: int


class _Layer(Struct):
    """What one layer does to the view."""

    added: dict[str, _Place]
    hidden: set[str]
    """Paths whose lower content, with everything below, is gone."""
    opaque: set[str]
    """Directories whose lower content is gone."""
    directories: set[str]
    """Wanted paths that are directories here: a lower file of that name is gone."""


class FileView:
    """The final view of those files of an image that `wanted` picks by path (no leading slash)."""

    def __init__(self, layers: Sequence[Path], wanted: Callable[[str], bool]) -> None:
        self._files: dict[str, _Place] = {}
        for path in layers:
            self._apply(_scan(path, wanted, _with_parents(self._files)))

    def paths(self) -> list[str]:
        """Every wanted path that exists, sorted."""
        return sorted(self._files)

    def size(self, path: str) -> int:
        """Bytes of a file of the view."""
        return self._files[path].size

    def read(self, path: str) -> bytes:
        """The content of a file of the view."""
        place = self._files[path]
        with place.layer.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.size)

    def _apply(self, layer: _Layer) -> None:
        for path in list(self._files):
            parents = _parents(path)
            if (
                path in layer.hidden
                or path in layer.directories
                or any(x in layer.hidden or x in layer.opaque for x in parents)
            ):
                del self._files[path]
        self._files.update(layer.added)


def _scan(path: Path, wanted: Callable[[str], bool], below: set[str]) -> _Layer:
    """Look at every header of one layer. `below`: the wanted paths of lower layers and their parents."""
    result = _Layer({}, set(), set(), set())
    links: dict[str, str] = {}
    for info in _members(path):
        name = _clean(info.name)
        parent, base = posixpath.split(name)
        if base == _OPAQUE:
            result.opaque.add(parent)
        elif base.startswith(_WHITEOUT):
            result.hidden.add(posixpath.join(parent, base.removeprefix(_WHITEOUT)))
        else:
            if name in below and not info.isdir():
                result.hidden.add(name)
            result.added.pop(name, None)
            links.pop(name, None)
            if wanted(name):
                _note(path, name, info, result, links)
    if links:
        targets = set(links.values())
        places = {_clean(x.name): _Place(path, x.offset_data, x.size) for x in _members(path) if _readable(x, targets)}
        result.added.update({name: places[target] for name, target in links.items() if target in places})
    return result


def _note(path: Path, name: str, info: tarfile.TarInfo, result: _Layer, links: dict[str, str]) -> None:
    if info.islnk():
        links[name] = _clean(info.linkname)
    elif info.isreg() and not info.issparse():
        result.added[name] = _Place(path, info.offset_data, info.size)
    elif info.isdir():
        result.directories.add(name)


def _readable(info: tarfile.TarInfo, targets: set[str]) -> bool:
    return info.isreg() and not info.issparse() and _clean(info.name) in targets


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(path, "r:", errorlevel=1) as tar:
        kept: list[tarfile.TarInfo] = cast(Any, tar).members
        while (info := tar.next()) is not None:
            yield info
            kept.clear()  # the headers of a layer of 100,000 files would otherwise stay in memory


def _clean(name: str) -> str:
    """`./usr//bin/` -> `usr/bin`; the root is the empty string."""
    return posixpath.normpath("/" + name).lstrip("/")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts))]


def _with_parents(paths: dict[str, _Place]) -> set[str]:
    return {parent for path in paths for parent in (*_parents(path), path)}

"""What an instance has written, as one archive: the files of its own layer and its scratch, not those of volumes.

What always holds: the archive has at most `limits.FILES` bytes of contents and `limits.MEMBERS` members; whatever is
left out for that, and whatever could not be read, is named. Blocking, for a thread.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, BinaryIO, Final, Protocol

import zstandard
from msgspec import structs

from minipaas.forensics import limits
from minipaas.forensics.tarcheck import TarCheck
from minipaas.model.capsule import FileChange, Touched
from minipaas.model.errors import EngineError, Invalid, Refused
from minipaas.model.units import human_bytes

SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108
"""Where a container writes when its root is read-only; never part of its own layer."""
_PODMANS = ("/dev", "/proc", "/sys", "/run", *SCRATCH)
"""Mounted over, or made by Podman: what is there is not the instance's."""
_PODMANS_FILES = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"})
_PODMANS_OWN = frozenset({"/etc/passwd", "/etc/group"})
"""Made by Podman where the image has none; where it has one, Podman adds a numeric user whom that does not know (see
`accounts`)."""
WINDOW: Final = 8 << 20
"""What a frame may ask of whoever decompresses it (RFC 8878 recommends to support 8 MiB)."""
_CORE = re.compile(r"core(\.\d+)?")
"""As core(5) names them by default."""


class Reader(Protocol):
    """`engine.archive.Archive`, as far as it is needed here."""

    def tar(self, container: str, path: str) -> AbstractContextManager[tarfile.TarFile]:
        """A file or directory as a tar to read from front to back."""
        ...


def own(changes: Iterable[FileChange]) -> list[FileChange]:
    """What the instance itself has changed: without what Podman makes in every container, and without directories
    that differ only because something in them does; what Podman may have written, or the instance, is marked.
    `changes` in the order of paths."""
    found = [
        one
        for one in changes
        if one.path not in _PODMANS_FILES
        and not _below(one.path, _PODMANS)
        and not (one.path in _PODMANS_OWN and one.what is Touched.ADDED)
    ]
    holding = {parent for one in found for parent in _parents(one.path)}
    podmans = {parent for path in (*_PODMANS, *_PODMANS_FILES) for parent in _parents(path)}
    return [
        structs.replace(one, podmans=True) if one.what is Touched.MODIFIED and one.path in _PODMANS_OWN else one
        for one in found
        if not (one.what is Touched.MODIFIED and one.path in holding | podmans)
        and not (one.what is Touched.ADDED and one.path in podmans - holding)
    ]


def tops(changes: Sequence[FileChange]) -> list[str]:
    """What to ask for, so that every changed file is asked for once: a new directory stands for all that is in it."""
    added = {one.path for one in changes if one.what is Touched.ADDED}
    return [
        one.path
        for one in changes
        if one.what is not Touched.REMOVED and not any(parent in added for parent in _parents(one.path))
    ]


class Collected:
    """What came of collecting."""

    def __init__(self) -> None:
        self.members = 0
        self.files = 0
        """Members that are no directories."""
        self.contents = 0
        self.sizes: dict[str, int] = {}
        """Of the regular files that were met, kept or too large."""
        self.scratch: list[FileChange] = []
        """What lies in the scratch, which is empty when an instance begins; in the order of the archive."""
        self.cores: list[str] = []
        self.missing: list[str] = []

    def listed(self, changes: Iterable[FileChange]) -> tuple[FileChange, ...]:
        """The scratch first, then `changes`, each with its size where that is known."""
        sized = (structs.replace(one, size=self.sizes.get(one.path)) for one in changes)
        return (*self.scratch, *sized)


def collect(
    reader: Reader, container: str, changes: Sequence[FileChange], to: Path, volumes: Collection[str] = ()
) -> Collected:
    """Write the archive (tar, zstd) to `to`. `volumes`: where volumes are mounted; one at /tmp is no scratch. Raises
    OSError when it cannot be written; nothing else."""
    done = Collected()
    asked = tops(changes)
    if len(asked) > limits.TOPS:
        done.missing.append(f"the contents of {len(asked) - limits.TOPS} of {len(asked)} changed files: too many")
        asked = asked[: limits.TOPS]
    modified = {one.path for one in changes if one.what is Touched.MODIFIED}
    with (
        to.open("xb") as file,
        zstandard.ZstdCompressor(level=3).stream_writer(file) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as out,
    ):
        # The scratch first: what an instance with a read-only root has written last is there.
        for path in (*(place for place in SCRATCH if place not in volumes), *asked):
            _copy(reader, container, path, out, done, shallow=path in modified)
    return done


def unpacked(file: BinaryIO) -> Iterator[bytes]:
    """The archive in a file, decompressed piece by piece, each looked at before it is given. Blocking. Raises
    Refused (`crash.unsafe`) for one that `collect` would not have made, whoever has written it."""
    check = TarCheck(limits.UNPACKED, "unpack")
    try:
        for piece in zstandard.ZstdDecompressor(max_window_size=WINDOW).read_to_iter(file):
            check.feed(piece)
            yield piece
        check.end()
    except (Refused, Invalid) as error:
        raise _unsafe(error.message) from None
    except zstandard.ZstdError as error:
        raise _unsafe(f"they do not decompress: {error}") from None


def _unsafe(why: str) -> Refused:
    return Refused(
        f"cannot open the scene with its files: {why}",
        hint="no box of ours writes such files: ask who gave you this one",
        code="crash.unsafe",
    )


def _copy(reader: Reader, container: str, path: str, out: tarfile.TarFile, done: Collected, *, shallow: bool) -> None:
    """`shallow`: of a directory, nothing but itself; it is the image's, and only its mode or owner has changed."""
    try:
        with reader.tar(container, path) as archive:
            for member in archive:
                _add(archive, member, path, out, done)
                if shallow and member.isdir():
                    return
    except EngineError as error:
        if error.code != "engine.missing":
            done.missing.append(f"{path}: {error.message}")
    except tarfile.TarError as error:
        done.missing.append(f"{path}: {error}")


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, out: tarfile.TarFile, done: Collected) -> None:
    """One member under its whole name."""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.name.lstrip("/")))
    if path in SCRATCH and not member.name.strip("/"):
        name = path  # Podman leaves the name of a mount point away
    elif path in SCRATCH and not _below(name, (path,)):
        name = posixpath.join(path, member.name.lstrip("/"))
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return  # sockets, pipes and devices hold nothing
    _note(member, path, name, done)
    if done.members == limits.MEMBERS:
        done.missing.append(f"{name} and what follows it: more than {limits.MEMBERS} files")
        raise tarfile.TarError("too many files")
    if done.contents + member.size > limits.FILES:
        done.missing.append(f"{name}: {human_bytes(member.size)}, too large to keep")
        return
    done.members += 1
    done.files += not member.isdir()
    done.contents += member.size
    member.name = name.lstrip("/")
    member.pax_headers = {}
    if member.islnk():
        member.linkname = posixpath.join(posixpath.dirname(path), member.linkname.lstrip("/")).lstrip("/")
    out.addfile(member, _contents(archive, member))
    if member.isreg() and _CORE.fullmatch(posixpath.basename(name)):
        done.cores.append(name)


def _note(member: tarfile.TarInfo, path: str, name: str, done: Collected) -> None:
    """That it is there, also when it is too large to keep."""
    if max(len(done.sizes), len(done.scratch)) == limits.MEMBERS:
        return
    if member.isreg():
        done.sizes[name] = member.size
    if path in SCRATCH and not member.isdir():
        size = member.size if member.isreg() else None
        done.scratch.append(FileChange(name, Touched.ADDED, size))


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    return archive.extractfile(member) if member.isreg() else None


def _below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _parents(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) not in ("", "/"):
        yield path

"""A program tree of minipaas, out of a directory or out of the one file that carries it, as a tar of one form.

What always holds: the tree is read, never run, so it may be for another architecture; the same tree gives the same
bytes.
"""

from __future__ import annotations

import email.parser
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from msgspec import Struct

from minipaas.author.limits import LIMITS
from minipaas.bundle.write import Layer
from minipaas.model.errors import Invalid, Missing

PROGRAM = "minipaas"
"""The file that is run."""
_TRAILER = struct.Struct("<QQ8s")
"""The end of the one file (buildspec/launcher.c): length of the archive, bytes of the files in it, a mark."""
_MARK = b"minipaas"
_MACHINES = {0x3E: "amd64", 0xB7: "arm64", 0x28: "arm", 0xF3: "riscv64", 0x16: "s390x", 0x15: "ppc64le"}
"""ELF's e_machine (elf(5)) in the words of OCI platforms."""


class Tree(Struct, frozen=True):
    """What was found in the tree while it was packed."""

    layer: Layer
    file: Path
    """The tar, which is the layer."""
    version: str
    platform: str
    """Empty: it does not say what it runs on."""


def read(source: Path, target: Path) -> Tree:
    """Write the tree as a tar of one form. Raises Missing, Invalid."""
    if source.is_dir():
        members = _of_directory(source)
    elif source.is_file():
        members = _of_file(source)
    else:
        raise Missing(f"cannot bundle {source}: there is no such file or directory", code="author.missing")
    version = platform = ""
    size = count = 0
    names = set()
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            names.add(member.name)
            size, count = size + len(member.content), count + 1
            if size > LIMITS.program or count > LIMITS.archive_members:
                raise _unfit(source, "it is too large for a program")
            if _metadata(member.name):
                version = str(email.parser.BytesHeaderParser().parsebytes(member.content)["Version"] or "")
            if not platform:
                platform = _platform(member.content)
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.size = member.kind, member.link, len(member.content)
            info.mode = 0o755 if member.executable or member.kind == tarfile.DIRTYPE else 0o644
            tar.addfile(info, io.BytesIO(member.content) if member.kind == tarfile.REGTYPE else None)
    if PROGRAM not in names or not version:
        raise _unfit(source, f"there is no {PROGRAM} in it" if PROGRAM not in names else "it does not say its version")
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Tree(Layer(f"sha256:{digest}", target.stat().st_size, target), target, version, platform)


class _Member(Struct, frozen=True):
    name: str
    """Relative, with `/`."""
    kind: bytes
    """tarfile's REGTYPE, DIRTYPE or SYMTYPE."""
    executable: bool = False
    link: str = ""
    content: bytes = b""


def _of_directory(top: Path) -> Iterator[_Member]:
    """In the order of the paths."""
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            yield _Member(name, tarfile.SYMTYPE, link=str(path.readlink()))
        elif path.is_dir():
            yield _Member(name, tarfile.DIRTYPE)
        elif path.is_file():
            yield _Member(name, tarfile.REGTYPE, bool(path.stat().st_mode & 0o100), content=path.read_bytes())
        else:
            raise _unfit(top, f"{name} is neither a file nor a directory nor a link")


def _of_file(file: Path) -> Iterator[_Member]:
    """What the one file carries behind its start-up program."""
    import zstandard

    with file.open("rb") as source:
        length = source.seek(0, io.SEEK_END)
        source.seek(max(0, length - _TRAILER.size))
        trailer = source.read(_TRAILER.size)
        if len(trailer) != _TRAILER.size or trailer[-8:] != _MARK:
            raise _unfit(file, "it is not the one file of minipaas, nor a program tree")
        archive, _, _ = _TRAILER.unpack(trailer)
        if archive > length - _TRAILER.size:
            raise _unfit(file, "it was cut off")
        source.seek(length - _TRAILER.size - archive)
        packed = zstandard.ZstdDecompressor().stream_reader(cast(Any, _Part(source, archive)), closefd=False)
        found: list[_Member] = []
        try:
            with tarfile.open(fileobj=cast(Any, packed), mode="r|") as tar:
                for info in tar:
                    content = tar.extractfile(info)
                    found.append(
                        _Member(
                            info.name,
                            tarfile.REGTYPE if info.isreg() else info.type,
                            bool(info.mode & 0o100),
                            info.linkname if info.issym() else "",
                            content.read() if content is not None and info.isreg() else b"",
                        )
                    )
        except (tarfile.TarError, zstandard.ZstdError) as error:
            raise _unfit(file, f"it is damaged: {error}") from None
    yield from sorted(found, key=lambda member: PurePosixPath(member.name))


class _Part:
    """So many bytes of a file, from where it stands."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _metadata(name: str) -> bool:
    """Whether a file tells the version of minipaas (Core metadata specification)."""
    path = PurePosixPath(name)
    described = path.parent.name.startswith("minipaas") and path.parent.suffix in (".dist-info", ".egg-info")
    return described and path.name in ("METADATA", "PKG-INFO")


def _platform(content: bytes) -> str:
    """What a native program runs on; empty for everything else."""
    if content[:4] != b"\x7fELF" or len(content) < 20:
        return ""
    machine = int.from_bytes(content[18:20], "little" if content[5] == 1 else "big")
    return f"linux/{_MACHINES[machine]}" if machine in _MACHINES else ""


def _unfit(source: Path, why: str) -> Invalid:
    return Invalid(
        f"cannot bundle {source} as minipaas: {why}",
        hint="name dist/minipaas or dist/program, as scripts/build makes them",
        code="author.program",
    )

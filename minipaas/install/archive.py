"""A one-file program taken apart: from the file that is copied around to the directory that starts fast.

The one file is PyInstaller's: its start-up program, then an archive (PyInstaller manual, "CArchive") of Python's
modules, libraries and data. Each start of it unpacks libraries and data into a temporary directory. Unpacked once, the
same start-up program needs only an archive of the modules, and finds the rest in `_internal` beside itself.

What always holds: the file is read, never run; nothing is written outside the directory that is given.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

from minipaas.install import limits
from minipaas.install.failures import explained
from minipaas.install.layout import PROGRAM
from minipaas.model.errors import Invalid

INSIDE = "_internal"
"""The directory of libraries and data, beside the program."""
_MAGIC = b"MEI\014\013\012\013\016"
_COOKIE = struct.Struct("!8sIIII64s")
"""At the end: magic, length of the archive, offset and length of its contents, Python's version, Python's library."""
_ENTRY = struct.Struct("!IIIIBc")
"""Length of this entry, offset, stored length, length, whether it is compressed, kind; then the name, NUL-padded."""
_FILES = (b"b", b"x", b"Z")
_LINK = b"n"
_ELF_SECTIONS = ((0x28, 8), (0x3A, 6))
"""Where a 64-bit ELF header tells of the section table, which lies behind the archive and is not kept (elf(5))."""


class _Entry(Struct, frozen=True):
    name: str
    kind: bytes
    packed: bool
    size: int
    stored: memoryview

    def content(self) -> bytes:
        """Uncompressed. Raises Invalid when it is not what the archive says."""
        try:
            opened = zlib.decompressobj() if self.packed else None
            data = opened.decompress(self.stored, self.size + 1) if opened else bytes(self.stored)
        except zlib.error:
            data = b""
        if len(data) != self.size:
            raise _broken(f"{self.name} is damaged")
        return data


def unpack(file: Path, target: Path) -> None:
    """Write the directory form of a one-file program. `target`: a directory, made when there is none. Raises Invalid
    for what is no such file, NoSpace, MinipaasError."""
    with explained(f"unpack {file} into {target}"), file.open("rb") as source:
        if not source.read(4) == b"\x7fELF":
            raise Invalid(f"cannot unpack {file}: it is not a program of Linux", code="install.program")
        target.mkdir(mode=0o755, exist_ok=True)
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as view:
            _unpack(whole, view, target)


def _unpack(whole: mmap.mmap, view: memoryview, target: Path) -> None:
    at = whole.rfind(_MAGIC, max(0, len(whole) - limits.COOKIE_REACH))
    if at < 0 or at + _COOKIE.size > len(whole):
        raise _broken("there is no archive at its end")
    _, length, contents, contents_length, python, library = _COOKIE.unpack_from(view, at)
    start = at + _COOKIE.size - length
    if start < 64 or contents + contents_length > length:
        raise _broken("its archive is cut off")
    inside = target / INSIDE
    inside.mkdir()
    body, table = bytearray(), bytearray()
    with view[start : at + _COOKIE.size] as archive, archive[contents : contents + contents_length] as listed:
        for entry in _entries(archive, listed):
            with entry.stored:
                if entry.kind in _FILES:
                    _write(inside, entry, entry.content())
                elif entry.kind == _LINK:
                    path = _inside(inside, entry.name)
                    path.symlink_to(entry.content().rstrip(b"\0").decode())
                else:
                    table += _listing(entry, len(body))
                    body += entry.stored
    program = bytearray(view[:start])
    for offset, size in _ELF_SECTIONS:
        program[offset : offset + size] = bytes(size)
    cookie = _COOKIE.pack(_MAGIC, len(body) + len(table) + _COOKIE.size, len(body), len(table), python, library)
    path = target / PROGRAM
    path.write_bytes(bytes(program + body + table) + cookie)
    path.chmod(0o755)


def _entries(archive: memoryview, listed: memoryview) -> Iterator[_Entry]:
    at = count = size = 0
    while at < len(listed):
        try:
            length, offset, stored, full, packed, kind = _ENTRY.unpack_from(listed, at)
            name = bytes(listed[at + _ENTRY.size : at + length]).rstrip(b"\0").decode()
        except (struct.error, UnicodeDecodeError):
            raise _broken("its list of contents is damaged") from None
        count, size = count + 1, size + full
        if length <= _ENTRY.size or offset + stored > len(archive):
            raise _broken("its list of contents is damaged")
        if count > limits.TREE_FILES or size > limits.TREE_BYTES:
            raise _broken("it holds more than any minipaas does")
        yield _Entry(name, kind, bool(packed), full, archive[offset : offset + stored])
        at += length


def _listing(entry: _Entry, offset: int) -> bytes:
    """The entry's place in the new archive; padded to 16 bytes, as the start-up program expects."""
    name = entry.name.encode() + b"\0"
    length = -(-(_ENTRY.size + len(name)) // 16) * 16
    head = _ENTRY.pack(length, offset, len(entry.stored), entry.size, entry.packed, entry.kind)
    return (head + name).ljust(length, b"\0")


def _write(inside: Path, entry: _Entry, content: bytes) -> None:
    path = _inside(inside, entry.name)
    with path.open("xb") as file:  # never through a link that the archive made
        file.write(content)
    path.chmod(0o755 if entry.kind == b"b" else 0o644)


def _inside(inside: Path, name: str) -> Path:
    """Where a member goes; its directories are made. Raises Invalid for a name that leads out."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts:
        raise _broken(f"it holds {name!r}, which leads out of it")
    path = inside / pure
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.resolve() != inside.resolve() / pure.parent:
        raise _broken(f"it holds {name!r}, which leads out of it")
    return path


def _broken(why: str) -> Invalid:
    return Invalid(f"cannot unpack minipaas: {why}", hint="copy the file again, whole", code="install.program")

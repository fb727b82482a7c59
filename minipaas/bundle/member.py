"""The members of a bundle file on disk, found through its seek table: where each begins, and its frames.

Only for files of one's own: what comes from elsewhere goes through `receive`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import zstandard
from msgspec import Struct

from minipaas.bundle import tarball
from minipaas.bundle.frames import CHECK_SIZE, check_frame, parse_seek_table, seek_table
from minipaas.bundle.limits import CHUNK
from minipaas.bundle.refusal import refuse
from minipaas.model.errors import MinipaasError, Missing

MAX_TABLE: Final = 1 << 20
"""Bytes of the seek table that are looked at."""


class Member(Struct, frozen=True):
    """One file of the tar."""

    name: str
    size: int
    offset: int
    """Where its first frame, that of the header, begins."""
    frames: tuple[tuple[int, int], ...]
    """(compressed, content) bytes of header, data and padding."""

    @property
    def length(self) -> int:
        """Compressed bytes of all its frames."""
        return sum(compressed for compressed, _ in self.frames)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, for reading. Raises Missing and MinipaasError in words."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Missing(f"cannot read {path}: there is no such file", code="bundle.no_file") from None
    except OSError as error:
        raise MinipaasError(f"cannot read {path}: {error.strerror}", code="bundle.read") from None
    with file:
        yield file


def members(file: BinaryIO, what: str) -> tuple[list[Member], tuple[int, int]]:
    """The members in order, and the frame that ends the tar. Raises Refused."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - MAX_TABLE))
    table = parse_seek_table(file.read(), what)
    starts, position = [], 0
    for compressed, _ in table:
        starts.append(position)
        position += compressed
    whole = position + len(seek_table(table)) == end and len(table) >= 2
    if not whole or table[-1] != (CHECK_SIZE, 0) or table[-2][1] != len(tarball.END):
        raise refuse(what, "bundle.seek_table", "its seek table does not describe it")
    found: list[Member] = []
    index, last = 0, len(table) - 2
    while index < last:
        name, size = _header(file, starts[index], table[index], what)
        count = 3 if tarball.padding(size) else 2
        frames = tuple(table[index : index + count])
        wanted = (tarball.BLOCK, size, len(tarball.padding(size)))[:count]
        if tuple(content for _, content in frames) != wanted or index + count > last:
            raise refuse(what, "bundle.seek_table", "its seek table does not describe it")
        found.append(Member(name, size, starts[index], frames))
        index += count
    return found, table[-2]


def copy(file: BinaryIO, offset: int, length: int, what: str) -> Iterator[bytes]:
    """Bytes of the file, in chunks. Raises Refused when it ends too early."""
    file.seek(offset)
    while length > 0:
        data = file.read(min(length, CHUNK))
        if not data:
            raise refuse(what, "bundle.truncated", "it became shorter while it was read")
        length -= len(data)
        yield data


def check_whole(file: BinaryIO, found: list[Member], end: tuple[int, int], what: str) -> None:
    """Compare the checksum over the file with the one it carries. Raises Refused."""
    length, crc = sum(member.length for member in found) + end[0], 0
    for data in copy(file, 0, length, what):
        crc = zlib.crc32(data, crc)
    if file.read(CHECK_SIZE) != check_frame(crc):
        raise refuse(what, "bundle.damaged", "its checksum does not match: bytes were changed on the way")


def _header(file: BinaryIO, offset: int, entry: tuple[int, int], what: str) -> tuple[str, int]:
    compressed, content = entry
    if content != tarball.BLOCK or compressed > CHUNK:
        raise refuse(what, "bundle.seek_table", "its seek table does not describe it")
    file.seek(offset)
    try:
        data = zstandard.ZstdDecompressor().decompress(file.read(compressed), max_output_size=tarball.BLOCK)
    except zstandard.ZstdError:
        data = b""
    if len(data) != tarball.BLOCK:
        raise refuse(what, "bundle.frame", "a tar header is damaged")
    return tarball.parse_header(data, what)

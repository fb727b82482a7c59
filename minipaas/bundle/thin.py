"""Thin bundles: the same bundle without the layers that the box has already. Frames are copied, not made anew.

What always holds: metadata is never left out, so a thin bundle is verified like a whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from minipaas.bundle import layout
from minipaas.bundle.frames import CHECK_SIZE, check_frame, seek_table
from minipaas.bundle.member import Member, copy, members, opened
from minipaas.bundle.receive import read_metadata
from minipaas.bundle.tarball import member_name


def digests(path: Path) -> tuple[str, ...]:
    """The layers: the blobs that may be left out when the receiver has them. Raises Missing, Refused."""
    with opened(path) as file:
        metadata = read_metadata(file, name=str(path))
    parsed = layout.parse_index(metadata.layout, metadata.index, metadata.name)
    return tuple(layout.outline(parsed, metadata.blobs, metadata.name).layers)


def thin(path: Path, missing: Collection[str]) -> Parcel:
    """The bundle with only those layers that are `missing` at the receiver. Raises Missing, Refused."""
    omitted = {member_name(digest) for digest in digests(path) if digest not in missing}
    return Parcel(path, omitted)


class Parcel:
    """A thin bundle as an iterator of bytes; `length` is how many there will be."""

    def __init__(self, path: Path, omitted: Collection[str]) -> None:
        self._path = path
        with opened(path) as file:
            found, end = members(file, str(path))
        last = sum(member.length for member in found)
        self._kept = [member for member in found if member.name not in omitted]
        self._end = Member("", 0, last, (end,))
        frames = [frame for member in (*self._kept, self._end) for frame in member.frames]
        self._table = seek_table([*frames, (CHECK_SIZE, 0)])
        self.length = sum(compressed for compressed, _ in frames) + CHECK_SIZE + len(self._table)
        self._chunks = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def _read(self) -> Iterator[bytes]:
        crc = 0
        with opened(self._path) as file:
            for member in (*self._kept, self._end):
                for data in copy(file, member.offset, member.length, str(self._path)):
                    crc = zlib.crc32(data, crc)
                    yield data
        yield check_frame(crc) + self._table

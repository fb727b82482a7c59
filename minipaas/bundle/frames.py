"""The compression around the tar: a sequence of zstd frames (RFC 8878), read and written in one strict form.

What always holds of a file that this module has read to its end:
- every tar header, member and padding is one frame with its content size in the frame header, and no dictionary and
  no content checksum (digests do that); the window is at most 8 MiB;
- the last but one frame is a skippable frame with a CRC-32 of every byte before it: compressed data has many
  encodings of one content, and an unnoticed flip is a flip that somebody has to explain later;
- the last frame is the seek table of the zstd seekable format, and says exactly what was read;
- nothing follows.
Memory is bounded whatever the input: one chunk of the source and one piece of at most 1 MiB of content.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import zstandard
from msgspec import Struct

from minipaas.bundle.limits import CHUNK, MAX_BLOB, MAX_BLOCK, MAX_WINDOW, PIECE_BLOCKS
from minipaas.bundle.refusal import refuse
from minipaas.model.units import human_bytes

MAGIC: Final = b"\x28\xb5\x2f\xfd"
SKIPPABLE_MAGIC: Final = struct.Struct("<II")
CHECK_MAGIC: Final = 0x184D2A5D
CHECK_TAG: Final = b"MPB1"
CHECK_SIZE: Final = 16
"""Bytes of the check frame: magic, length, tag, CRC-32."""
SEEK_MAGIC: Final = 0x184D2A5E
SEEK_FOOTER: Final = struct.Struct("<IBI")
SEEK_FOOTER_MAGIC: Final = 0x8F92EAB1
_ENTRY: Final = struct.Struct("<II")
_FCS_SIZE: Final = (1, 2, 4, 8)


class Frame(Struct, frozen=True):
    """A frame header that was read: the size of the content and the bytes of the header itself."""

    size: int
    head: bytes


def check_frame(crc: int) -> bytes:
    """The skippable frame that guards every byte before it."""
    return SKIPPABLE_MAGIC.pack(CHECK_MAGIC, 8) + CHECK_TAG + struct.pack("<I", crc)


def seek_table(frames: list[tuple[int, int]]) -> bytes:
    """The last frame, for frames of (compressed, content) bytes: zstd seekable format 0.1.0, no checksums."""
    body = b"".join(_ENTRY.pack(*entry) for entry in frames) + SEEK_FOOTER.pack(len(frames), 0, SEEK_FOOTER_MAGIC)
    return SKIPPABLE_MAGIC.pack(SEEK_MAGIC, len(body)) + body


def parse_seek_table(tail: bytes, what: str) -> list[tuple[int, int]]:
    """The entries of a file's last frame; `tail` begins anywhere before it and ends with it."""
    footer = tail[-SEEK_FOOTER.size :]
    if len(footer) < SEEK_FOOTER.size:
        raise refuse(what, "bundle.truncated", "it is too short for a seek table")
    count, flags, magic = SEEK_FOOTER.unpack(footer)
    length = SKIPPABLE_MAGIC.size + count * _ENTRY.size + SEEK_FOOTER.size
    if magic != SEEK_FOOTER_MAGIC or flags or length > len(tail):
        raise refuse(what, "bundle.seek_table", "its last bytes are not a seek table")
    start = len(tail) - length + SKIPPABLE_MAGIC.size
    table = [_ENTRY.unpack_from(tail, start + index * _ENTRY.size) for index in range(count)]
    if seek_table(table) != tail[-length:]:
        raise refuse(what, "bundle.seek_table", "its seek table is malformed")
    return table


class FrameReader:
    """Reads frames from a source that can't seek. Every byte passes through the CRC and the table of what was seen."""

    def __init__(self, source: BinaryIO, what: str, limit: int) -> None:
        self._source = source
        self._what = what
        self._limit = limit
        self._buffer = b""
        self._position = 0
        self._taken = 0
        self._crc = 0
        self._table: list[tuple[int, int]] = []
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def next(self) -> Frame:
        """The header of the next frame. Raises Refused."""
        if self._taken == 0 and not self._fill(1):
            raise refuse(self._what, "bundle.empty", "it is empty")
        magic = self._peek(4, first=self._taken == 0)
        if magic != MAGIC:
            if self._taken == 0:
                raise refuse(self._what, "bundle.not_a_bundle", "it is not a bundle")
            raise self._bad("something else than a zstd frame", "bundle.frame")
        descriptor = self._peek(5)[4]
        single, flag = bool(descriptor & 0x20), descriptor >> 6
        if descriptor & 0x1F or (flag == 0 and not single):
            raise self._bad("a frame with a checksum, a dictionary or no content size")
        fcs = _FCS_SIZE[flag]
        head = self._peek(5 + (not single) + fcs)
        size = int.from_bytes(head[-fcs:], "little") + (256 if flag == 1 else 0)
        window = size if single else _window(head[5])
        if window > MAX_WINDOW:
            raise self._bad(f"a frame that needs a window of {human_bytes(window)}")
        if size > MAX_BLOB:
            raise refuse(self._what, "bundle.too_large", "it holds a blob larger than 4 GiB")
        self._position += len(head)
        return Frame(size, head)

    def pieces(self, frame: Frame) -> Iterator[bytes]:
        """The compressed frame, header included, in pieces of a few whole blocks."""
        self._count(frame.head)
        compressed, blocks, most = len(frame.head), 0, 64 + frame.size // 1024
        lead, last = frame.head, False
        while not last:
            self._peek(3)
            start = position = self._position
            taken = 0
            while taken < PIECE_BLOCKS and not last and position + 3 <= len(self._buffer):
                word = int.from_bytes(self._buffer[position : position + 3], "little")
                kind, length = (word >> 1) & 3, word >> 3
                if kind == 3 or length > MAX_BLOCK or (length == 0 and not word & 1):
                    raise self._bad("a malformed zstd block")
                end = position + 3 + (1 if kind == 1 else length)
                if end > len(self._buffer):
                    break
                position, last = end, bool(word & 1)
                taken += 1
            if taken == 0:
                word = int.from_bytes(self._buffer[start : start + 3], "little")
                self._peek(3 + (1 if (word >> 1) & 3 == 1 else word >> 3))
                continue
            blocks += taken
            if blocks > most:
                raise self._bad("a frame of far too many blocks")
            piece = self._buffer[start:position]
            self._position = position
            self._count(piece)
            compressed += len(piece)
            yield lead + piece
            lead = b""
        self._table.append((compressed, frame.size))

    def contents(self, frame: Frame, pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """The frame as (compressed, content) pieces. Raises Refused unless it holds exactly `frame.size` bytes."""
        stream = self._zstd.decompressobj(write_size=max(1, min(frame.size, PIECE_BLOCKS * MAX_BLOCK)))
        left = frame.size
        for piece in pieces:
            if stream.eof:
                raise self._bad("a frame that goes on after its end")
            try:
                content = stream.decompress(piece)
            except zstandard.ZstdError:
                raise self._bad("damaged compressed data") from None
            left -= len(content)
            if left < 0:
                break
            yield piece, content
        if left or not stream.eof or stream.unused_data:
            raise self._bad("a frame whose content is not as long as it says")

    def small(self, frame: Frame) -> tuple[bytes, bytes]:
        """A frame as (compressed, content) in memory. The caller has checked `frame.size`."""
        pairs = list(self.contents(frame, self.pieces(frame)))
        return b"".join(pair[0] for pair in pairs), b"".join(pair[1] for pair in pairs)

    def finish(self) -> int:
        """Read the check frame, the seek table and the end of the source. Returns the bytes read in all."""
        expected = check_frame(self._crc)
        found = self._peek(CHECK_SIZE)
        if found[: SKIPPABLE_MAGIC.size + 4] != expected[: SKIPPABLE_MAGIC.size + 4]:
            raise self._bad("something else than the check frame after the end of the tar")
        if found != expected:
            raise refuse(self._what, "bundle.damaged", "its checksum does not match: bytes were changed on the way")
        self._position += CHECK_SIZE
        self._taken += CHECK_SIZE
        self._table.append((CHECK_SIZE, 0))
        table = seek_table(self._table)
        if self._peek(len(table)) != table:
            raise refuse(self._what, "bundle.seek_table", "its seek table does not describe it")
        self._position += len(table)
        self._taken += len(table)
        if self._fill(1):
            raise refuse(self._what, "bundle.trailing", "bytes follow its end")
        return self._taken

    def _fill(self, count: int) -> bool:
        """Have `count` unread bytes in the buffer, if the source has them."""
        missing = count - (len(self._buffer) - self._position)
        if missing <= 0:
            return True
        parts = [self._buffer[self._position :]]
        while missing > 0:
            data = self._source.read(max(CHUNK, missing))
            if not data:
                break
            parts.append(data)
            missing -= len(data)
        self._buffer = b"".join(parts)
        self._position = 0
        return missing <= 0

    def _peek(self, count: int, *, first: bool = False) -> bytes:
        if not self._fill(count):
            have = self._buffer[self._position :]
            if first and not MAGIC.startswith(have):
                raise refuse(self._what, "bundle.not_a_bundle", "it is not a bundle")
            raise refuse(self._what, "bundle.truncated", f"it ends after {self._taken + len(have)} bytes, too early")
        return self._buffer[self._position : self._position + count]

    def _count(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._taken += len(data)
        if self._taken > self._limit:
            raise refuse(self._what, "bundle.too_large", f"it is larger than {human_bytes(self._limit)}")

    def _bad(self, why: str, code: str = "bundle.frame") -> Exception:
        return refuse(self._what, code, f"near byte {self._taken} it holds {why}")


def _window(byte: int) -> int:
    """RFC 8878, 3.1.1.1.2: exponent and mantissa of the window size."""
    base = 1 << (10 + (byte >> 3))
    return base + (base >> 3) * (byte & 7)

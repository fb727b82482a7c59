"""Packing members into the one strict form that `frames` and `tarball` describe. Equal members give equal bytes.

A member becomes two or three frames: header, data, and padding where there is any. So a member can be copied into
another bundle, or left out, without touching its neighbours.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import zstandard

from minipaas.bundle import tarball
from minipaas.bundle.frames import CHECK_SIZE, check_frame, seek_table
from minipaas.bundle.limits import CHUNK, MAX_BLOB
from minipaas.model.errors import Invalid

_THREADED: Final = 8 << 20
"""Blobs from this size on are compressed by several threads; how many does not change the bytes."""
_THREADS: Final = max(1, min(8, os.cpu_count() or 1))


def compression(size: int) -> zstandard.ZstdCompressor:
    """The fixed parameters, those of level 10: they must not follow the default of a newer library."""
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(
            window_log=22,
            chain_log=21,
            hash_log=22,
            search_log=5,
            min_match=5,
            target_length=16,
            strategy=zstandard.STRATEGY_LAZY2,
            write_content_size=True,
            write_checksum=False,
            write_dict_id=False,
            job_size=_THREADED * 2 if size >= _THREADED else 0,
            threads=_THREADS if size >= _THREADED else 0,
        )
    )


class Packer:
    """Writes a bundle, front to back, to something that need not seek."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._crc = 0
        self._table: list[tuple[int, int]] = []
        self.written = 0
        """Bytes so far."""

    def add(self, name: str, data: bytes) -> None:
        """A member from memory."""
        self._frame(tarball.header(name, len(data)))
        self._frame(data)
        self._pad(len(data))

    def add_blob(self, digest: str, size: int, source: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        """A member from a stream of known digest and size. Raises Invalid when it turns out to be something else."""
        if not 0 < size <= MAX_BLOB:
            raise Invalid(
                f"cannot write the bundle: the layer {digest[7:19]} has {size} bytes; 1 byte to 4 GiB are possible",
                hint="spread what the layer holds over several layers",
                code="author.layer",
            )
        self._frame(tarball.header(tarball.member_name(digest), size))
        compressor = compression(size).compressobj(size=size)
        sha, left, length = hashlib.sha256(), size, 0
        while data := source.read(CHUNK):
            left -= len(data)
            if left < 0:
                break
            sha.update(data)
            length += self._emit(compressor.compress(data))
            on_bytes(len(data))
        if left or f"sha256:{sha.hexdigest()}" != digest:
            raise Invalid(
                f"cannot write the bundle: the layer {digest[7:19]} is not what it was said to be",
                hint="the file changed while it was packed: build again",
                code="author.layer",
            )
        length += self._emit(compressor.flush())
        self._table.append((length, size))
        self._pad(size)

    def copy(self, frames: Iterator[tuple[int, int, Iterator[bytes]]]) -> None:
        """Frames of another bundle, as they are: (compressed bytes, content bytes, data)."""
        for compressed, content, pieces in frames:
            for piece in pieces:
                self._emit(piece)
            self._table.append((compressed, content))

    def finish(self) -> int:
        """The end of the tar, the check frame and the seek table. Returns the bytes of the whole bundle."""
        self._frame(tarball.END)
        self._emit(check_frame(self._crc))
        self._table.append((CHECK_SIZE, 0))
        self._emit(seek_table(self._table))
        return self.written

    def _pad(self, size: int) -> None:
        if zeros := tarball.padding(size):
            self._frame(zeros)

    def _frame(self, data: bytes) -> None:
        self._table.append((self._emit(compression(len(data)).compress(data)), len(data)))

    def _emit(self, data: bytes) -> int:
        self._out.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self.written += len(data)
        return len(data)

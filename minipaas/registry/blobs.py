"""The blob store: content by digest, each blob one zstd frame, never changed, never half there.

    DATA/blobs/sha256/ab/<hex>.zst     published: whole, durable, verified
    DATA/staging/<upload>/…            being received; gone after a failure, at the latest at the next start
    DATA/ballast                       space set aside for a full disk

Its calls are synchronous and belong in worker threads; they may come from several at once. The digest is that of the
*uncompressed* content, so a layer is stored under its diffID (OCI image-spec, config.md).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from minipaas.model.errors import Invalid, MinipaasError, Missing
from minipaas.registry.ballast import Ballast
from minipaas.registry.failures import disk_failure
from minipaas.registry.limits import BALLAST, READ_AHEAD
from minipaas.registry.staging import Staging

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEADER = 18
"""Longest zstd frame header, bytes (RFC 8878, 3.1.1.1)."""


class BlobStore:
    """All blobs of this box, under one data directory."""

    def __init__(self, data: Path, *, ballast: int = BALLAST) -> None:
        self._blobs = data / "blobs" / "sha256"
        self._staging = data / "staging"
        self.ballast = Ballast(data / "ballast", ballast)
        self._lock = threading.Lock()
        self._open: set[Staging] = set()
        self._lingering: set[str] = set()
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_failure(error, f"open the blob store {self._blobs}") from error

    # -- reading -----------------------------------------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Whether the blob is here, whole."""
        return self.compressed(digest).is_file()

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Those that are not here."""
        return {digest for digest in digests if not self.has(digest)}

    def compressed(self, digest: str) -> Path:
        """Where the blob's zstd frame is, or would be. Raises Invalid for what is no sha256 digest."""
        if not _DIGEST.fullmatch(digest):
            raise Invalid(f"cannot look up blob {digest[:100]!r}: not a sha256 digest", code="blob.digest")
        hexadecimal = digest.removeprefix("sha256:")
        return self._blobs / hexadecimal[:2] / f"{hexadecimal}.zst"

    def open(self, digest: str) -> BinaryIO:
        """A stream of the decompressed content. Raises Missing; reading raises MinipaasError(blob.damaged)."""
        with self._found(digest):
            file = self.compressed(digest).open("rb")
        return cast(BinaryIO, io.BufferedReader(_Frame(file, digest), READ_AHEAD))

    def content_size(self, digest: str) -> int:
        """Bytes of the content, from the frame's header. Raises Missing, MinipaasError(blob.damaged)."""
        with self._found(digest), self.compressed(digest).open("rb") as file:
            return _content_size(file.read(_HEADER), digest)

    def stored_size(self, digest: str) -> int:
        """Bytes it takes on the disk. Raises Missing."""
        with self._found(digest):
            return self.compressed(digest).stat().st_size

    # -- writing -----------------------------------------------------------------------------------------------------

    def stage(self) -> Staging:
        """Begin an upload. Use it as a context manager. Raises NoSpace."""
        directory = self._staging / secrets.token_hex(8)
        try:
            directory.mkdir(mode=0o700)
        except OSError as error:
            raise disk_failure(error, "begin an upload") from error
        staging = Staging(directory, self.compressed, self._lock, self._close)
        with self._lock:
            self._open.add(staging)
        return staging

    def clear_staging(self) -> int:
        """At start: remove what uploads of a killed minipaas left; returns how many. Running ones are spared."""
        with self._lock:
            running = {staging.directory for staging in self._open}
        left = [path for path in self._staging.iterdir() if path not in running]
        for path in left:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(left)

    def sweep(self, keep: Iterable[str]) -> int:
        """Delete the blobs that are not in `keep`; returns bytes freed. Spared are also those that an upload under way
        relies on, and those published since the last sweep, whose release may have been accepted after the caller
        made `keep`; the next sweep takes them if nobody needs them."""
        kept = set(keep)
        with self._lock:
            lingering, self._lingering = self._lingering, set()
        freed = 0
        for path in self._all():
            digest = f"sha256:{path.name.removesuffix('.zst')}"
            if digest in kept or digest in lingering:
                continue
            with self._lock:
                # Asked and deleted under the lock that an upload takes to rely on a blob.
                if any(digest in staging.relied_on for staging in self._open) or digest in self._lingering:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    size = path.stat().st_blocks * 512
                    path.unlink()
                    freed += size
        return freed

    # -- space -------------------------------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        """Free for an ordinary user on the store's file system (statvfs f_bavail)."""
        return shutil.disk_usage(self._blobs).free

    def used_bytes(self) -> int:
        """What all published blobs take on the disk."""
        return sum(path.stat().st_blocks * 512 for path in self._all())

    def release_ballast(self) -> bool:
        """The disk is full: free the ballast; returns whether there was any."""
        return self.ballast.release()

    def restore_ballast(self) -> bool:
        """Set the ballast aside again when there is room; returns whether it is held."""
        return self.ballast.restore()

    # ----------------------------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[Path]:
        for directory in sorted(self._blobs.iterdir()):
            if directory.is_dir():
                yield from sorted(directory.glob("*.zst"))

    def _close(self, staging: Staging) -> None:
        with self._lock:
            if staging in self._open:
                self._open.discard(staging)
                if staging.published:
                    self._lingering |= staging.relied_on

    @contextlib.contextmanager
    def _found(self, digest: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(f"cannot read blob {digest}: it is not on this box", code="blob.missing") from None
        except OSError as error:
            raise disk_failure(error, f"read blob {digest}") from error


class _Frame(io.RawIOBase):
    """The content of one zstd frame, checked to be as long as its header says."""

    def __init__(self, file: BinaryIO, digest: str) -> None:
        import zstandard

        self._file = file
        self._digest = digest
        self._failure = zstandard.ZstdError
        try:
            header = os.pread(file.fileno(), _HEADER, 0)
            self._left = _content_size(header, digest)
            self._stream = zstandard.ZstdDecompressor().stream_reader(file, READ_AHEAD, closefd=False)
        except BaseException:
            file.close()
            raise

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = int(self._stream.readinto(buffer))
        except self._failure as error:
            raise _damaged(self._digest, str(error)) from error
        except OSError as error:
            raise disk_failure(error, f"read blob {self._digest}") from error
        self._left -= count
        if self._left < 0 or (count == 0 and len(buffer) > 0 and self._left > 0):
            raise _damaged(self._digest, "it is not as long as it says")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _content_size(header: bytes, digest: str) -> int:
    import zstandard

    try:
        size = zstandard.frame_content_size(header)
    except zstandard.ZstdError as error:
        raise _damaged(digest, str(error)) from error
    if size < 0:
        raise _damaged(digest, "its frame does not say how long it is")
    return int(size)


def _damaged(digest: str, why: str) -> MinipaasError:
    return MinipaasError(
        f"cannot read blob {digest}: it is damaged: {why}",
        hint="the disk may be failing; deploy the release again to bring the blob back",
        code="blob.damaged",
    )

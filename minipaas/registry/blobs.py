"""The blob store: content by digest, each blob one zstd frame, never changed, never half there.

    DATA/blobs/sha256/ab/<hex>.zst     published: whole, durable, verified
    DATA/blobs/sha256/ab/<hex>.damaged found to be damaged later; counts as missing
    DATA/staging/<upload>/…            being received; gone after a failure, at the latest at the next start
    DATA/ballast                       space set aside for a full disk

Its calls are synchronous and belong in worker threads; they may come from several at once. The digest is that of the
*uncompressed* content, so a layer is stored under its diffID (OCI image-spec, config.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
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
            data.mkdir(parents=True, exist_ok=True)
            for directory in (self._blobs.parent, self._blobs, self._staging):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise disk_failure(error, f"open the blob store {self._blobs}") from error

    # -- reading -----------------------------------------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Whether the blob is here, whole."""
        return self.compressed(digest).is_file()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here, in the order given."""
        return [digest for digest in digests if not self.has(digest)]

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
        return cast(BinaryIO, io.BufferedReader(_Frame(file, lambda why: self._damaged(digest, why)), READ_AHEAD))

    def open_staged(self, staging: Staging, digest: str) -> BinaryIO:
        """Like `open`, of an upload that is whole and not published yet."""
        with self._found(digest):
            file = staging.path(digest).open("rb")
        return cast(BinaryIO, io.BufferedReader(_Frame(file, lambda why: self._damaged(digest, why)), READ_AHEAD))

    def verify(self, digest: str) -> bool:
        """Read the whole blob and compare its digest. One that is damaged is set aside: it counts as missing from then
        on, so that it can be sent again. Raises Missing."""
        hashed = hashlib.sha256()
        try:
            with self.open(digest) as content:
                while chunk := content.read(READ_AHEAD):
                    hashed.update(chunk)
        except MinipaasError as error:
            if error.code != "blob.damaged":
                raise
            return False
        if f"sha256:{hashed.hexdigest()}" != digest:
            self._damaged(digest, "its content has another digest")
            return False
        return True

    def content_size(self, digest: str) -> int:
        """Bytes of the content, from the frame's header. Raises Missing, MinipaasError(blob.damaged)."""
        with self._found(digest), self.compressed(digest).open("rb") as file:
            return _content_size(file.read(_HEADER), lambda why: self._damaged(digest, why))

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
            digest = f"sha256:{path.name.partition('.')[0]}"
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
                yield from sorted(directory.iterdir())

    def _close(self, staging: Staging) -> None:
        with self._lock:
            if staging in self._open:
                self._open.discard(staging)
                if staging.published:
                    self._lingering |= staging.relied_on

    def _damaged(self, digest: str, why: str) -> MinipaasError:
        """Set a damaged blob aside, so that the next upload brings it again; returns what to say."""
        place = self.compressed(digest)
        with contextlib.suppress(FileNotFoundError):
            place.rename(place.with_suffix(".damaged"))
        return MinipaasError(
            f"cannot read blob {digest}: it is damaged: {why}",
            hint="the disk may be failing (look at dmesg); deploy the release again to bring the blob back",
            code="blob.damaged",
        )

    @contextlib.contextmanager
    def _found(self, digest: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(f"cannot read blob {digest}: it is not on this box", code="blob.missing") from None
        except OSError as error:
            raise disk_failure(error, f"read blob {digest}") from error


class _Frame(io.RawIOBase):
    """The content of one zstd frame, checked to be as long as its header says. `damaged` makes the error to raise."""

    def __init__(self, file: BinaryIO, damaged: Callable[[str], MinipaasError]) -> None:
        import zstandard

        self._file = file
        self._damaged = damaged
        self._zstd_error = zstandard.ZstdError
        try:
            self._left = _content_size(os.pread(file.fileno(), _HEADER, 0), damaged)
        except BaseException:
            file.close()
            raise
        self._stream = zstandard.ZstdDecompressor().stream_reader(file, READ_AHEAD, closefd=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = int(self._stream.readinto(buffer))
        except self._zstd_error as error:
            raise self._damaged(str(error)) from error
        self._left -= count
        if self._left < 0 or (count == 0 and len(buffer) > 0 and self._left > 0):
            raise self._damaged("it is not as long as it says")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _content_size(header: bytes, damaged: Callable[[str], MinipaasError]) -> int:
    import zstandard

    try:
        size = int(zstandard.frame_content_size(header))
    except zstandard.ZstdError as error:
        raise damaged(str(error)) from error
    if size < 0:
        raise damaged("its frame does not say how long it is")
    return size

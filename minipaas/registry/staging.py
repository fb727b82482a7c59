"""Staging: where an upload's blobs lie until the whole bundle is verified. Nothing outside can see them, and nothing of
them is left when the upload fails; `publish` makes them durable, then visible.

The order of `publish` is what a power cut cannot break: the data of every file reaches the disk, then the names change,
then the directories reach the disk. A name in the store is therefore always a whole blob.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from minipaas.registry.database import sync_directory, sync_file
from minipaas.registry.failures import disk_failure


class StagedBlob:
    """A blob being received, as one compressed frame. Ends with `commit` or `abort`."""

    def __init__(self, staging: Staging, digest: str, path: Path) -> None:
        self._staging = staging
        self._digest = digest
        self._path = path
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise disk_failure(error, f"write blob {digest}") from error

    def write(self, compressed: bytes) -> None:
        """Append bytes of the compressed frame. Raises NoSpace."""
        rest = memoryview(compressed)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            raise disk_failure(error, f"write blob {self._digest}") from error

    def commit(self) -> None:
        """The blob is whole and its digest was right; it waits for `publish`."""
        self._file.close()
        self._staging.ended(self, self._digest, self._path)

    def abort(self) -> None:
        """The blob is not wanted after all."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._staging.ended(self, self._digest, None)


class Staging:
    """One upload's blobs. A context manager: leaving it removes whatever was not published.

    Blobs that the upload relies on, staged or found in the store, are safe from collection while it lasts, and after a
    `publish` until one collection has passed: by then the registry knows that they are needed."""

    def __init__(
        self,
        directory: Path,
        place: Callable[[str], Path],
        lock: threading.Lock,
        closed: Callable[[Staging], None],
    ) -> None:
        self.directory = directory
        self.relied_on: set[str] = set()
        self.published = False
        self._place = place
        self._lock = lock
        self._closed = closed
        self._staged: dict[str, Path] = {}
        self._receiving: set[StagedBlob] = set()
        self._serial = 0

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def path(self, digest: str) -> Path:
        """Where the blob's frame is, in this upload or in the store, or would be."""
        return self._staged.get(digest) or self._place(digest)

    def has(self, digest: str) -> bool:
        """Whether the blob is there already, in the store or in this upload; then it also stays."""
        # First the claim, then the look: in the other order a collection could come between.
        self._rely_on(digest)
        return digest in self._staged or self._place(digest).is_file()

    def create(self, digest: str, size: int) -> StagedBlob:
        """Begin a blob. `size` is its uncompressed length in bytes. Raises NoSpace, Invalid."""
        self._place(digest)  # refuses what is no digest before it becomes a name
        self._rely_on(digest)
        self._serial += 1
        blob = StagedBlob(self, digest, self.directory / f"{self._serial}-{digest.removeprefix('sha256:')}.zst")
        self._receiving.add(blob)
        return blob

    def _rely_on(self, digest: str) -> None:
        with self._lock:
            self.relied_on.add(digest)

    def ended(self, blob: StagedBlob, digest: str, path: Path | None) -> None:
        """Called by a blob that is whole, at `path`, or was aborted."""
        self._receiving.discard(blob)
        if path is not None:
            self._staged[digest] = path

    def publish(self) -> None:
        """Make the committed blobs durable and visible. A blob that the store has already is not replaced. Raises
        NoSpace; then nothing is visible that is not whole."""
        try:
            for path in self._staged.values():
                sync_file(path)
            for digest, path in tuple(self._staged.items()):
                place = self._place(digest)
                if place.is_file():
                    path.unlink()
                else:
                    place.parent.mkdir(mode=0o700, exist_ok=True)
                    path.rename(place)
                del self._staged[digest]  # a held bundle may be published again after the disk had no room
            # Also where a blob was found: another upload may have put it there a moment ago, and not synced it yet.
            homes = {self._place(digest).parent for digest in self.relied_on}
            for directory in sorted(homes | {home.parent for home in homes}):
                if directory.is_dir():
                    sync_directory(directory)
        except OSError as error:
            raise disk_failure(error, "publish the blobs of an upload") from error
        self.published = True

    def close(self) -> None:
        """Remove what was not published; a second time does nothing."""
        for blob in tuple(self._receiving):
            blob.abort()  # an open file would keep its space
        shutil.rmtree(self.directory, ignore_errors=True)
        self._closed(self)

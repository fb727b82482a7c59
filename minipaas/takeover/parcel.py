"""The program in a bundle of minipaas itself: one image of one layer, the program tree as a tar.

What always holds: nothing of it is written before the bundle is verified; a member of the tar is a plain file, a
directory or a link that stays inside, or the whole is refused; the layout takes the tree only when all of it is there.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, cast

from minipaas.bundle import oci
from minipaas.bundle.verify import Verdict
from minipaas.install.layout import PROGRAM, Layout, Version
from minipaas.model.errors import NoSpace, Refused
from minipaas.model.release import Release
from minipaas.model.spec import RESERVED
from minipaas.model.units import human_bytes
from minipaas.registry.failures import disk_failure
from minipaas.takeover import limits

SERVICE = "program"
"""Its one service: the image that holds the tree."""


class Parcel:
    """Takes the blobs of such a bundle (it is a `bundle.receive.BlobSink`), and lays the tree out. Ends with
    `close`."""

    def __init__(self, data: Path, layout: Layout) -> None:
        self._layout = layout
        self._free = shutil.disk_usage(data).free
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="own-", dir=data))
        except OSError as error:
            raise disk_failure(error, f"take minipaas in at {data}") from error
        self._size = 0

    def verified(self, verdict: Verdict) -> None:
        """The bundle is what it says; whether it is minipaas, and fits. Raises Refused, NoSpace."""
        release = verdict.release
        if release.app != RESERVED:
            raise Refused(
                f"cannot upgrade minipaas: this is a bundle of {release.app} {release.version}",
                hint="to deploy it: minipaas deploy FILE; to make one of minipaas: minipaas bundle self",
                code="self.app",
            )
        if set(release.images) != {SERVICE}:
            raise self._broken(release, f"it has other images than {SERVICE!r}")
        self._size = release.images[SERVICE].size
        if self._size > limits.PROGRAM or 2 * self._size + limits.MARGIN > self._free:
            raise NoSpace(
                f"cannot upgrade to minipaas {release.version}: it needs"
                f" {human_bytes(2 * self._size + limits.MARGIN)} of disk and {human_bytes(self._free)} are free",
                hint="make room on the disk of the data directory",
                code="disk.small",
            )

    # -- bundle.receive.BlobSink

    def has(self, digest: str) -> bool:
        """Everything has to come."""
        return False

    def create(self, digest: str, size: int) -> Blob:
        """A blob of so many bytes is about to come."""
        return Blob(self._blob(digest))

    # -- the tree

    def place(self, release: Release) -> Version:
        """Unpack the one layer, and give the tree to the layout. Raises Refused, NoSpace, MinipaasError."""
        tree = self._directory / "tree"
        manifest = oci.decode(self._blob(release.images[SERVICE].manifest).read_bytes(), oci.Manifest)
        if len(manifest.layers) != 1:
            raise self._broken(release, "its image has other layers than one")
        try:
            tree.mkdir()
            self._unpack(release, self._blob(manifest.layers[0].digest), tree)
        except tarfile.TarError as error:
            raise self._broken(release, str(error)) from None
        except FileExistsError as error:
            raise self._broken(release, f"{Path(error.filename).name[:80]!r} is in it twice") from None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self._broken(release, f"{Path(error.filename).name[:80]!r} is in no directory of it") from None
        except OSError as error:
            raise disk_failure(error, f"unpack minipaas {release.version}") from error
        if not (tree / PROGRAM).is_file():
            raise self._broken(release, f"there is no {PROGRAM} in it")
        with self._layout.lock():
            return self._layout.place(tree, release.version)

    def close(self) -> None:
        """Nothing of it is left here."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _blob(self, digest: str) -> Path:
        return self._directory / digest.removeprefix("sha256:")

    def _unpack(self, release: Release, layer: Path, tree: Path) -> None:
        with tarfile.open(layer, "r:", errorlevel=2) as tar:
            room = self._size
            for count, member in enumerate(tar):
                name = PurePosixPath(member.name)
                room -= member.size
                if member.issparse() or room < 0:
                    raise self._broken(release, f"{member.name[:80]!r} is larger than it says")
                if name.is_absolute() or ".." in name.parts or count >= limits.FILES:
                    raise self._broken(release, f"{member.name[:80]!r} leads out of it")
                path = tree / name
                if member.isdir():
                    path.mkdir(exist_ok=True)
                elif member.isreg():
                    source = tar.extractfile(member)
                    with cast(Any, source), path.open("xb") as file:
                        shutil.copyfileobj(cast(Any, source), file, limits.PIECE)
                    path.chmod(0o755 if member.mode & 0o100 else 0o644)
                elif (
                    member.issym()
                    and not PurePosixPath(member.linkname).is_absolute()
                    and (".." not in PurePosixPath(member.linkname).parts)
                ):
                    path.symlink_to(member.linkname)
                else:
                    raise self._broken(release, f"{member.name[:80]!r} is no plain file, directory or link inside")

    def _broken(self, release: Release, why: str) -> Refused:
        return Refused(
            f"cannot upgrade to minipaas {release.version}: what is in the bundle is no program tree: {why}",
            hint="make the bundle again: minipaas bundle self",
            code="self.tree",
        )


class Blob:
    """One blob, decompressed while it comes; its digest was checked by whoever commits it."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._path = path
        self._decompress = zstandard.ZstdDecompressor().decompressobj()
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise disk_failure(error, f"write {path}") from error

    def write(self, compressed: bytes) -> None:
        """More of its frame. Raises NoSpace."""
        try:
            self._file.write(self._decompress.decompress(compressed))
        except OSError as error:
            raise disk_failure(error, f"write {self._path}") from error

    def commit(self) -> None:
        """It is whole."""
        try:
            self._file.close()
        except OSError as error:
            raise disk_failure(error, f"write {self._path}") from error

    def abort(self) -> None:
        """It is not wanted after all."""
        self._file.close()
        self._path.unlink(missing_ok=True)

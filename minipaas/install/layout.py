"""The versions of minipaas on this host, unpacked side by side, and which of them is current.

    HOME/versions/<version>-<12 hex digits of its content>/minipaas     the program; what it needs lies beside it
    HOME/current  -> versions/…                                         what starts next
    HOME/previous -> versions/…                                         what was current before
    HOME/lock                                                           held by whoever changes any of this

HOME is /opt/minipaas for a system and ~/.local/opt/minipaas for a user. What always holds, also after a power cut at
any instant: a directory with such a name is whole and durable before it gets the name; `current` leads to one that is
whole; the way back is written down before the switch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from minipaas.install import limits
from minipaas.install.failures import explained
from minipaas.install.files import link, make_directory, sync
from minipaas.install.tree import PROGRAM, Progress, Tree
from minipaas.model.errors import Conflict, Invalid, MinipaasError, Missing, NoSpace
from minipaas.model.units import human_bytes

__all__ = ["PROGRAM", "Layout", "Version"]

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_]{0,63}(?:-[0-9A-Za-z.+~_]+)*")
_NAME = re.compile(rf"(?P<version>{_VERSION.pattern})-(?P<digest>[0-9a-f]{{12}})")
_STAGED = ".new-"


class Version(Struct, frozen=True):
    """One unpacked version."""

    path: Path

    @property
    def name(self) -> str:
        """`1.4.0-0123456789ab`."""
        return self.path.name

    @property
    def version(self) -> str:
        """What the program calls itself: `1.4.0`."""
        return self.name.rpartition("-")[0]

    @property
    def executable(self) -> Path:
        """The program."""
        return self.path / PROGRAM


class Layout(Struct, frozen=True):
    """All versions below one HOME. Calls are synchronous; those that change something want `with layout.lock():`."""

    home: Path

    @classmethod
    def system(cls, root: Path = Path("/")) -> Layout:
        """For everybody on the host (hier(7): /opt); `root` is another root directory, as of an image."""
        return cls(root / "opt" / "minipaas")

    @classmethod
    def user(cls, home: Path) -> Layout:
        """For one user; `home` is that user's home directory."""
        return cls(home / ".local" / "opt" / "minipaas")

    @classmethod
    def holding(cls, executable: Path) -> tuple[Layout, Version] | None:
        """The layout that a program lies in, and its version; None for one that is not installed this way."""
        version = executable.resolve().parent
        versions = version.parent
        if versions.name != "versions" or not _NAME.fullmatch(version.name) or executable.name != PROGRAM:
            return None
        return cls(versions.parent), Version(version)

    # -- looking -----------------------------------------------------------------------------------------------------

    def versions(self) -> tuple[Version, ...]:
        """Those that are here, the one placed last at the end."""
        try:
            found = [path for path in self._versions.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
            return tuple(Version(path) for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name)))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def current(self) -> Version | None:
        """What starts next; None before the first switch."""
        return self._behind("current")

    def previous(self) -> Version | None:
        """The way back; None when there is none."""
        before = self._behind("previous")
        return None if before == self.current() else before

    def find(self, name: str) -> Version:
        """By whole name, version or beginning of either. Raises Missing, or Invalid when several fit."""
        fitting = [one for one in self.versions() if one.name.startswith(name)] if name else []
        exact = [one for one in fitting if name in (one.name, one.version)]
        candidates = exact or fitting
        here = ", ".join(one.name for one in self.versions()) or "none"
        if not candidates:
            raise Missing(f"cannot find minipaas {name!r}: it is not in {self.home}", hint=f"here: {here}")
        if len(candidates) > 1:
            raise Invalid(f"cannot tell which minipaas {name!r} is meant", hint=f"say more of the name; here: {here}")
        return candidates[0]

    # -- changing ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, wait: float = limits.LOCK_WAIT) -> Iterator[None]:
        """One install, upgrade or uninstall at a time. Makes HOME. Raises Conflict when another one does not end within
        `wait` seconds."""
        with explained(f"use {self.home}"):
            make_directory(self._versions)
            handle = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            until = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Conflict(
                            f"cannot change {self.home}: another install or upgrade holds it",
                            hint="wait until it is done, then type this again",
                            code="install.busy",
                        ) from None
                    time.sleep(limits.LOCK_GLANCE)
            yield
        finally:
            os.close(handle)

    def place(self, source: Path, version: str, progress: Progress | None = None) -> Version:
        """Copy an unpacked program beside the others, durably; a version that is here already, and whole, stays as it
        is. Raises Invalid for what is no unpacked program, NoSpace, Forbidden, MinipaasError."""
        if not _VERSION.fullmatch(version):
            raise Invalid(f"cannot place minipaas: {version[:80]!r} is not a version", code="install.version")
        tree = Tree.of(source)
        target = self._versions / f"{version}-{tree.digest[:12]}"
        with explained(f"place minipaas {version} in {self.home}"):
            make_directory(self._versions)
            self._clear_staged()
            if target.is_dir():
                if _whole(target, tree.digest):
                    os.utime(target)
                    return Version(target)
                target.rename(self._versions / f"{_STAGED}{secrets.token_hex(6)}")  # damaged: gone with the next one
            self._room_for(tree, version)
            staged = self._versions / f"{_STAGED}{secrets.token_hex(6)}"
            try:
                tree.copy(staged, progress)
                if not _whole(staged, tree.digest):
                    raise MinipaasError(
                        f"cannot place minipaas {version}: {source} changed while it was copied",
                        hint="type this again",
                        code="install.changed",
                    )
                staged.rename(target)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise
            sync(self._versions)
            self._clear_staged()
        return Version(target)

    def switch(self, version: Version) -> None:
        """Make a version current; what was current becomes the way back. Raises Missing for one that is not here."""
        if version.path.parent != self._versions or not version.executable.is_file():
            raise Missing(f"cannot switch to minipaas {version.name}: it is not in {self.home}")
        before = self.current()
        if before == version:
            return
        with explained(f"switch to minipaas {version.name}"):
            if before is not None:
                link(self.home / "previous", Path("versions", before.name))
            link(self.home / "current", Path("versions", version.name))

    def restore(self, version: Version, previous: Version | None) -> None:
        """Make a version current again, as if the one that is current had never been: `previous` is the way back, as it
        was before that one came. Raises Missing for a version that is not here."""
        if not version.executable.is_file():
            raise Missing(f"cannot go back to minipaas {version.name}: it is not in {self.home}")
        with explained(f"go back to minipaas {version.name}"):
            if self.current() != version:
                link(self.home / "current", Path("versions", version.name))
            if previous is not None and previous.executable.is_file():
                link(self.home / "previous", Path("versions", previous.name))
            else:
                (self.home / "previous").unlink(missing_ok=True)
                sync(self.home)

    def prune(self, keep: int = limits.VERSIONS_KEPT) -> tuple[Version, ...]:
        """Remove old versions beyond `keep`; never the current one, the way back, or one that a process runs from.
        Returns those removed."""
        spared = {self.current(), self.previous(), *self.running()}
        others = [one for one in reversed(self.versions()) if one not in spared]
        gone = others[max(0, keep - len(spared - {None})) :]
        with explained(f"remove old versions from {self.home}"):
            self._clear_staged()
            for one in gone:
                self._discard(one.path)
        return tuple(gone)

    def remove(self) -> None:
        """All versions, and HOME itself when nothing else is in it."""
        with explained(f"remove {self.home}"):
            for name in ("current", "previous"):
                (self.home / name).unlink(missing_ok=True)
            for one in self.versions():
                self._discard(one.path)
            self._clear_staged()
            (self.home / "lock").unlink(missing_ok=True)
            for directory in (self._versions, self.home):
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def running(self) -> frozenset[Version]:
        """Versions that a process of this host was started from, as far as this user may see (proc(5))."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    path = (entry / "exe").readlink()
                    if path.is_relative_to(self._versions):  # the program starts others that lie beside it
                        found.add(Version(self._versions / path.relative_to(self._versions).parts[0]))
        return frozenset(found)

    # ----------------------------------------------------------------------------------------------------------------

    @property
    def _versions(self) -> Path:
        return self.home / "versions"

    def _behind(self, name: str) -> Version | None:
        try:
            target = (self.home / name).readlink()
        except OSError:
            return None
        path = self._versions / target.name
        return Version(path) if _NAME.fullmatch(target.name) and (path / PROGRAM).is_file() else None

    def _room_for(self, tree: Tree, version: str) -> None:
        free = shutil.disk_usage(self._versions).free
        if free < tree.size + limits.MARGIN:
            raise NoSpace(
                f"cannot place minipaas {version} in {self.home}: {human_bytes(tree.size + limits.MARGIN)} are needed, "
                f"{human_bytes(free)} are free",
                hint=f"free some space on that disk: df -h {self.home}",
                code="install.no_space",
            )

    def _discard(self, path: Path) -> None:
        """Remove a version: its name goes first, so that a half removed one is never taken for whole."""
        aside = self._versions / f"{_STAGED}{secrets.token_hex(6)}"
        path.rename(aside)
        sync(self._versions)
        shutil.rmtree(aside)

    def _clear_staged(self) -> None:
        for path in self._versions.glob(f"{_STAGED}*"):
            shutil.rmtree(path, ignore_errors=True)


def _whole(path: Path, digest: str) -> bool:
    try:
        return Tree.of(path).digest == digest
    except MinipaasError:
        return False

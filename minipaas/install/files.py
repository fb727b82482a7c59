"""Files of the host that minipaas writes: whole or not at all, and only when they are not as they should be."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from minipaas.install import limits
from minipaas.install.failures import explained
from minipaas.model.errors import Forbidden


def write(path: Path, content: str, mode: int = 0o644) -> bool:
    """Make the file so, with its directories (0755); returns whether anything had to be done. Raises Forbidden,
    NoSpace, MinipaasError."""
    data = content.encode()
    with explained(f"write {path}"):
        if _is(path, data, mode):
            return False
        make_directory(path.parent)
        beside = path.parent / f".{path.name}-{secrets.token_hex(6)}"
        try:
            with beside.open("xb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync(path.parent)
        return True


def make_directory(path: Path, mode: int = 0o755) -> bool:
    """Make a directory, whatever the umask; its parents are 0755. Returns whether it was missing."""
    with explained(f"make {path}"):
        if path.is_dir():
            return False
        make_directory(path.parent)
        path.mkdir(mode=mode, exist_ok=True)
        path.chmod(mode)
        sync(path.parent)
        return True


def point(path: Path, target: Path) -> bool:
    """Make `path` a symbolic link to `target`; returns whether anything had to be done."""
    with explained(f"link {path}"):
        if path.is_symlink() and path.readlink() == target:
            return False
        make_directory(path.parent)
        link(path, target)
        return True


def remove(path: Path) -> bool:
    """Remove a file or link; returns whether there was one."""
    with explained(f"remove {path}"):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync(path.parent)
        return True


def remove_tree(path: Path) -> None:
    """Remove a directory with everything in it; fine when there is none."""
    try:
        with explained(f"remove {path}"), contextlib.suppress(FileNotFoundError):
            try:
                shutil.rmtree(path)
            except PermissionError:
                if not _removed_by_podman(path):
                    raise
            sync(path.parent)
    except Forbidden as error:
        error.hint = f"it holds files of a container's other users: podman unshare rm -rf {path}"
        raise


def _removed_by_podman(path: Path) -> bool:
    """A user's containers leave files of ids that are that user's in Podman's user namespace only."""
    podman = shutil.which("podman")
    if podman is None or os.geteuid() == 0:
        return False
    words = [podman, "unshare", "rm", "-rf", "--", str(path)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=limits.COMMAND, check=False)
    return not path.exists()


def read(path: Path) -> str:
    """A small file of the host as text; empty where there is none or it is not for us."""
    try:
        with path.open("rb") as file:
            return file.read(limits.FILE).decode(errors="replace")
    except OSError:
        return ""


def _is(path: Path, data: bytes, mode: int) -> bool:
    try:
        with path.open("rb") as file:
            same = file.read(len(data) + 1) == data
        return same and not path.is_symlink() and path.stat().st_mode & 0o777 == mode
    except FileNotFoundError:
        return False


def link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target` in one step, replacing a file or link, and onto the disk (rename(2))."""
    beside = path.parent / f".{path.name}-{secrets.token_hex(6)}"
    beside.symlink_to(target)
    try:
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(directory: Path) -> None:
    """The names in a directory, onto the disk. File systems that cannot (EINVAL) are left alone."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)

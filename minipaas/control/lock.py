"""One box a data directory: a lock that the kernel lets go of when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from minipaas.model.errors import MinipaasError


class DataLock:
    """Holds `DATA/lock` while the box runs."""

    def __init__(self, data: Path, inherited: int | None = None) -> None:
        """Make the data directory (0700) and take its lock, or go on with the one that the process before has taken.
        Raises MinipaasError when another box holds it."""
        if inherited is not None:
            self._file = inherited
            return
        try:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MinipaasError(
                f"cannot use the data directory {data}: {error.strerror}",
                hint="run as root, or name another directory: minipaas serve --data DIR",
                code="data.unusable",
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise MinipaasError(
                f"cannot start: another minipaas (pid {holder or '?'}) uses {data}",
                hint="stop it first, or name another directory: minipaas serve --data DIR",
                code="data.locked",
            ) from None
        except OSError as error:
            os.close(self._file)
            raise MinipaasError(
                f"cannot lock the data directory {data}: {error.strerror}",
                hint="keep it on a disk of this machine: minipaas serve --data DIR",
                code="data.unusable",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    @property
    def descriptor(self) -> int:
        """The open file whose lock it is (flock(2)): whoever inherits it holds the lock too."""
        return self._file

    def release(self) -> None:
        """Let go."""
        os.close(self._file)

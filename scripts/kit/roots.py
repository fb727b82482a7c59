"""Other Linux systems to run in: root file systems of Debian releases, made once and kept, entered by mount namespace.

What always holds: a root is complete or not there; what runs inside shares this host's kernel, network and processes,
and sees nothing of its files but the one directory that it was given; nothing stays mounted after `close()`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kit.namespace import NamespaceError, hold, into

SUITES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}
PODMAN = ("podman", "runc", "catatonit", "iproute2")
PACKAGES = {
    "bullseye": (*PODMAN, "containernetworking-plugins", "iptables"),  # Podman 3.0
    "bookworm": (*PODMAN, "netavark", "aardvark-dns", "iptables"),
    "trixie": (*PODMAN, "netavark", "aardvark-dns", "nftables"),
}
SYSTEMD = ("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd")
USERS = ("uidmap", "slirp4netns")
"""What Podman needs where an ordinary user runs it."""
MAKE_SECONDS = 900.0


class RootError(Exception):
    """A root file system cannot be made or entered; the text says why."""


def cache() -> Path:
    """Where roots are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minipaas-tests/roots"


def root(suite: str, *, podman: bool = False, systemd: bool = False) -> Path:
    """The root file system of a Debian release, bare or with its Podman, or with that, for all users, and systemd to
    boot it; made by mmdebstrap when it is not there."""
    podman = podman or systemd
    packages = (*(PACKAGES[suite] if podman else ()), *((*SYSTEMD, *USERS) if systemd else ()))
    name = f"{suite}-host" if systemd else f"{suite}-podman" if podman else suite
    place = cache() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _make(suite, packages, place)
    return place


def _make(suite: str, packages: Sequence[str], place: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise RootError("cannot make a root file system: there is no mmdebstrap; apt-get install mmdebstrap")
    new = place.with_name(f"{place.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    wanted = [f"--include={','.join(packages)}"] if packages else []
    quiet = ('--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/doc/*")
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", *wanted, *quiet, suite, str(new)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise RootError(f"mmdebstrap could not make {suite}:\n{made.stderr[-2000:]}")
    (new / "etc/hosts").write_text("127.0.0.1 localhost edge.example\n")
    new.rename(place)


def entering(place: Path, share: Path) -> str:
    """Shell words that make the mount namespace that they run in look like this root, with `share` at its own path."""
    return "\n".join(
        (
            f"root={place}; share={share}",
            'mount --bind "$root" "$root"',
            'for one in proc sys dev; do mount --rbind "/$one" "$root/$one"; done',
            'mount -t tmpfs tmpfs "$root/run"; mount -t tmpfs tmpfs "$root/tmp"',
            'mkdir -p "$root$share"; mount --bind "$share" "$root$share"',
            'mkdir -p "$root/run/old"; cd "$root"; pivot_root . run/old; umount --lazy /run/old',
        )
    )


class Inside:
    """`with Inside(root, share) as words:` holds a mount namespace; commands that begin with `words` run in there."""

    def __init__(self, place: Path, share: Path) -> None:
        self._setup = entering(place, share)
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> tuple[str, ...]:
        try:
            self._holder = hold(self._setup)
        except NamespaceError as error:
            raise RootError(f"cannot enter a root file system: {error}") from None
        return into(self._holder.pid)

    def __exit__(self, *_: object) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait(10)

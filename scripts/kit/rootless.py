"""A private Podman that an ordinary user runs: rootless, in a user namespace, with slirp4netns.

What always holds: the host keeps its users and devices as they are. The user, the range of ids that belongs to it, and
a /dev/net/tun that it may open are there in the mount namespace of this Podman alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from kit.podman import PodmanError, PrivatePodman

USER = "minipaas-rootless"
UID = 54_321
SUBORDINATE = "1000000:65536"
"""First id and number of those that containers get."""
_NAMESPACE = f"""
for name in passwd group subuid subgid; do
    touch "/etc/$name"
    mount --bind "$0/etc/$name" "/etc/$name"
done
mount -t tmpfs tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
chown -R {UID}:{UID} "$0"
"""


class RootlessPodman(PrivatePodman):
    """As its base, and the service, its containers and all commands are those of an ordinary user."""

    def __init__(self) -> None:
        for program, package in (("slirp4netns", "slirp4netns"), ("newuidmap", "uidmap")):
            if shutil.which(program) is None:
                raise PodmanError(f"cannot start a rootless Podman: there is no {program}; apt-get install {package}")
        super().__init__()
        for name in ("etc", "home", "xdg"):
            (self.directory / name).mkdir(mode=0o700)
        etc = self.directory / "etc"
        for name, line in (
            ("passwd", f"{USER}:x:{UID}:{UID}::{self.directory}/home:/bin/sh"),
            ("group", f"{USER}:x:{UID}:"),
        ):
            (etc / name).write_text((Path("/etc") / name).read_text() + line + "\n")
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"{USER}:{SUBORDINATE}\n")

    def _setup(self) -> str:
        return _NAMESPACE

    @property
    def as_user(self) -> tuple[str, ...]:
        """Words that run a command as the user, where this Podman runs."""
        user = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
        home = (f"HOME={self.directory}/home", f"XDG_RUNTIME_DIR={self.directory}/xdg", f"USER={USER}")
        return (*self.inside, *user, "env", f"--chdir={self.directory}/home", *home)

    @property
    def command(self) -> list[str]:
        """As the user."""
        return [*self.as_user, "podman", "--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run"]

    def own(self, path: Path) -> None:
        """Give a directory of this Podman to the user, with all that is in it."""
        for one in (path, *path.rglob("*")):
            os.chown(one, UID, UID)

    def close(self) -> None:
        """Also the process that holds the user namespace."""
        with contextlib.suppress(Exception):
            self.run("rm", "--all", "--force", "--time", "0", check=False, timeout=120)
            self.run("network", "prune", "--force", check=False, timeout=120)
        with contextlib.suppress(Exception):
            self.stop()
        for path in [*(self.directory / "xdg").rglob("pause.pid"), *(self.directory / "tmp").rglob("pause.pid")]:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        super().close()

"""The init system of this host: which one there is, and how minipaas becomes a service of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from minipaas.install import initscripts, limits, systemd
from minipaas.install.places import Places
from minipaas.install.systemd import SERVICE, Service
from minipaas.model.errors import MinipaasError, Missing
from minipaas.session import runtime_directory

NAME = "minipaas"


class Init(StrEnum):
    """Who starts minipaas with the host."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"
    SYSV = "sysv"
    NONE = "none"
    """Nobody: `minipaas serve` is started by hand, or by something that we do not know."""


def detect(places: Places) -> Init:
    """The init system of the host, or of an image that is not running."""
    root = places.root
    if root == Path("/"):
        if Path("/run/systemd/system").is_dir():
            return Init.SYSTEMD
        if places.user:
            return Init.NONE
        if Path("/run/openrc").is_dir():
            return Init.OPENRC
    else:
        if any((root / path).exists() for path in ("usr/lib/systemd/systemd", "lib/systemd/systemd")):
            return Init.SYSTEMD
        if (root / "sbin/openrc-run").exists():
            return Init.OPENRC
    scripts = (root / "etc/init.d").is_dir() and any(
        (root / path / "start-stop-daemon").exists() for path in ("sbin", "usr/sbin", "usr/bin", "bin")
    )
    return Init.SYSV if scripts else Init.NONE


def podman_is_a_service(places: Places) -> bool:
    """Whether systemd can hold Podman's socket here: its unit is installed."""
    kind = "user" if places.user else "system"
    return any((places.root / top / "systemd" / kind / systemd.PODMAN).exists() for top in ("usr/lib", "lib", "etc"))


class Manager:
    """Writes the files of one init system, and speaks to it. `path` gives where a file is written."""

    def __init__(self, init: Init, places: Places, service: Service) -> None:
        self.init = init
        self.places = places
        self.service = service
        self.live = places.root == Path("/")
        """This host, not an image."""

    def content(self) -> dict[Path, tuple[str, int]]:
        """Path -> text and mode of every file that the init system needs, HOME's own included."""
        match self.init:
            case Init.SYSTEMD:
                made = systemd.units(self.service)
                return {self.places.units / name: (text, 0o644) for name, text in made.items()}
            case Init.OPENRC | Init.SYSV:
                script = initscripts.openrc if self.init is Init.OPENRC else initscripts.sysv
                return {
                    self.places.home / initscripts.SUPERVISOR: (initscripts.supervisor(self.service), 0o755),
                    self.places.init / NAME: (script(self.service), 0o755),
                }
            case Init.NONE:
                return {}

    @property
    def sockets(self) -> list[str]:
        """Names of the socket units."""
        return [name for name in systemd.units(self.service) if name != SERVICE]

    def known_sockets(self) -> list[str]:
        """Those that an earlier install may have written, too."""
        return sorted(path.name for path in self.places.at(self.places.units).glob("minipaas-*.socket"))

    def enable(self) -> None:
        """Start with the host from now on."""
        match self.init:
            case Init.SYSTEMD:
                wanted = [SERVICE, *self.sockets]
                if not self.service.own_podman and self.live:
                    self._systemctl("enable", "--now", systemd.PODMAN)
                if self.live:
                    self._systemctl("daemon-reload")
                    self._systemctl("enable", *wanted)
                else:
                    run(["systemctl", "--root", str(self.places.root), "enable", *wanted])
            case Init.OPENRC:
                run([*self._inside(), "rc-update", "add", NAME, "default"])
            case Init.SYSV:
                tool = ["update-rc.d", NAME, "defaults"] if self._has("update-rc.d") else ["chkconfig", "--add", NAME]
                if self._has(tool[0]):
                    run([*self._inside(), *tool])
            case Init.NONE:
                pass

    def active(self) -> bool:
        """Whether the service runs."""
        match self.init:
            case Init.SYSTEMD:
                return self._quiet(*self._words("is-active", SERVICE))
            case Init.OPENRC:
                return self._quiet("rc-service", NAME, "status")
            case Init.SYSV:
                return self._quiet(str(self.places.init / NAME), "status")
            case Init.NONE:
                return False

    def start(self) -> None:
        """Start it; with systemd this returns when the box is ready."""
        match self.init:
            case Init.SYSTEMD:
                self._systemctl("start", *self.sockets, needed=False)  # one whose port is taken must not stop the rest
                self._systemctl("start", SERVICE)
            case Init.OPENRC:
                run(["rc-service", NAME, "start"])
            case Init.SYSV:
                run([str(self.places.init / NAME), "start"])
            case Init.NONE:
                pass

    def stop(self, sockets: Iterable[str] = ()) -> None:
        """Stop it; apps keep running. Of its sockets, those that are named stop too; in the others, who connects
        waits."""
        match self.init:
            case Init.SYSTEMD:
                self._systemctl("stop", *sockets, SERVICE)
            case Init.OPENRC:
                run(["rc-service", NAME, "stop"])
            case Init.SYSV:
                run([str(self.places.init / NAME), "stop"])
            case Init.NONE:
                pass

    def disable(self) -> None:
        """Do not start with the host any more."""
        match self.init:
            case Init.SYSTEMD:
                self._systemctl("disable", SERVICE, *self.known_sockets(), needed=False)
            case Init.OPENRC:
                run(["rc-update", "delete", NAME], needed=False)
            case Init.SYSV:
                if self._has("update-rc.d"):
                    run(["update-rc.d", "-f", NAME, "remove"], needed=False)
                elif self._has("chkconfig"):
                    run(["chkconfig", "--del", NAME], needed=False)
            case Init.NONE:
                pass

    def forget(self) -> None:
        """After the files are gone."""
        if self.init is Init.SYSTEMD and self.live:
            self._systemctl("daemon-reload", needed=False)

    # ----------------------------------------------------------------------------------------------------------------

    def _words(self, *words: str) -> list[str]:
        return ["systemctl", *(["--user"] if self.places.user else []), *words]

    def _systemctl(self, *words: str, needed: bool = True) -> None:
        run(self._words(*words), needed=needed)

    def _inside(self) -> list[str]:
        return [] if self.live else ["chroot", str(self.places.root)]

    def _has(self, tool: str) -> bool:
        return any((self.places.root / place / tool).exists() for place in ("usr/sbin", "sbin", "usr/bin", "bin"))

    @staticmethod
    def _quiet(*words: str) -> bool:
        try:
            done = subprocess.run(words, capture_output=True, timeout=limits.COMMAND, check=False, env=_environment())
            return done.returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def run(words: Sequence[str], needed: bool = True) -> None:
    """A command of the host. Raises MinipaasError with its last words, unless it is not `needed`."""
    typed = " ".join(words)
    tool = shutil.which(words[0])
    if tool is None:
        if needed:
            raise Missing(f"cannot run {typed}: there is no {words[0]} here", code="install.tool")
        return
    try:
        done = subprocess.run(
            [tool, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.COMMAND,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise MinipaasError(
            f"cannot go on: {typed} is not done after {limits.COMMAND:g} s",
            hint=f"look what it waits for: journalctl {'--user ' if '--user' in words else ''}-u minipaas",
            code="install.command",
        ) from None
    if done.returncode != 0 and needed:
        said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
        raise MinipaasError(
            f"cannot go on: {typed} failed: {' '.join(said[-3:]) or f'exit code {done.returncode}'}",
            hint="mend that, then type this again; what is done already stays",
            code="install.command",
        )


def _environment() -> dict[str, str]:
    """With the way to the user's own service manager, which who came by `sudo -u` or `su` is not told."""
    runtime = runtime_directory()
    told = {"XDG_RUNTIME_DIR": str(runtime)} if runtime is not None else {}
    return {**os.environ, "SYSTEMD_COLORS": "0", **told}

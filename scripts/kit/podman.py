"""A private Podman: its own store, networks, locks and service, all under one directory.

What always holds: it never touches the containers, images or networks of another Podman on this machine, and after
`close()` nothing of it is left: no container, process, mount, bridge or file. A directory whose owner was killed is
cleaned up by the next one (`sweep`).

All rootful Podmans of a host share /run/containers/networks, with the addresses and DNS names of every network by
its name. So this one runs in a mount namespace of its own, where that directory is another one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kit.namespace import NamespaceError, hold, into
from kit.roots import entering, root

CAP_SYS_RESOURCE = 24
PREFIX = "minipaas-podman-"
START_SECONDS = 30.0
DEFAULT_CORNER = 88
"""Podman's default network is 10.88.0.0/16: no other one finds room in there."""
HOLDS = "owner"
"""The file that the process holding the mount namespace has open; its command line names it."""


class PodmanError(Exception):
    """The private Podman cannot do something; the text says what and why."""


def containers_conf(directory: Path) -> str:
    """A containers.conf for this host, restricted or not."""
    lines = limits_conf()
    lines += ["[engine]", 'events_logger = "file"', f'tmp_dir = "{directory}/tmp"', 'lock_type = "file"']
    if v1_cgroups():
        lines.append('runtime = "runc"')  # crun refuses hybrid cgroups
    if not Path("/run/systemd/system").exists():
        lines.append('cgroup_manager = "cgroupfs"')
    # A second Podman on this machine may pick the same subnet at the same moment: each gets a corner of its own.
    corner = random.SystemRandom().choice([one for one in range(16, 250) if one != DEFAULT_CORNER])
    lines += [
        "[network]",
        f'network_config_dir = "{directory}/networks"',
        f'default_subnet_pools = [{{"base" = "10.{corner}.0.0/16", "size" = 24}}]',
    ]
    return "\n".join(lines) + "\n"


def limits_conf() -> list[str]:
    """The part of it that lets containers start where this process may have less than Podman asks for."""
    lines = ["[containers]"]
    if not _capable(CAP_SYS_RESOURCE):
        # Podman asks for more than the process itself may have, and the container would not start.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        processes = 32768 if processes == resource.RLIM_INFINITY else min(processes, 32768)
        lines.append(f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]')
    return lines


def v1_cgroups() -> bool:
    """Whether this host's cgroups are those of version 1, or both (cgroups(7))."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _capable(bit: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> bit & 1)
    return False


class PrivatePodman:
    """`with PrivatePodman() as podman:` starts it and takes it down, whatever happens in between.

    With `rootfs`, it is the Podman of another system (kit.roots), which sees of this one `directory` alone. So it is in
    all tests when PODMAN_OF in the environment names a Debian release; then it also sees the tests' temporary files.
    """

    def __init__(self, directory: Path | None = None, rootfs: Path | None = None) -> None:
        share = None
        if rootfs is None and (suite := os.environ.get("PODMAN_OF")):
            rootfs, share = root(suite, podman=True), Path(tempfile.gettempdir())
        if rootfs is None and shutil.which("podman") is None:
            raise PodmanError(
                "cannot start a private Podman: there is no podman on this machine; apt-get install podman"
            )
        sweep()
        self.directory = directory or Path(tempfile.mkdtemp(prefix=PREFIX))
        for name in ("root", "run", "tmp", "networks"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / HOLDS).write_text(str(os.getpid()))
        self.conf = self.directory / "containers.conf"
        self.conf.write_text(containers_conf(self.directory))
        self.socket = self.directory / "podman.sock"
        self.url = f"unix://{self.socket}"
        self._rootfs = rootfs
        self._share = share or self.directory
        self._service: subprocess.Popen[bytes] | None = None
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivatePodman:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which programs find this Podman and no other."""
        return {**os.environ, "CONTAINERS_CONF": str(self.conf), "CONTAINER_HOST": self.url}

    @property
    def pid(self) -> int:
        """Of the running service."""
        if self._service is None:
            raise PodmanError("the private Podman's service is not running")
        return self._service.pid

    def start(self) -> None:
        """Start the service and wait until it answers."""
        if self._holder is None:
            self._hold_namespace()
        self.socket.unlink(missing_ok=True)
        env = {key: value for key, value in self.env.items() if key != "CONTAINER_HOST"}
        with (self.directory / "service.log").open("ab") as log:
            self._service = subprocess.Popen(
                [*self.command, "system", "service", "--time=0", self.url],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not ping(self.socket):
            if self._service.poll() is not None or time.monotonic() > deadline:
                raise PodmanError(f"cannot start a private Podman: {self._last_words() or 'it does not answer'}")
            time.sleep(0.05)

    def _hold_namespace(self) -> None:
        """A process whose mount namespace every command of this Podman enters."""
        try:
            self._holder = hold(self._setup(), str(self.directory), str(self.directory / HOLDS), last='tail -f "$1"')
        except NamespaceError as error:
            raise PodmanError(f"cannot make a mount namespace for a private Podman: {error}") from None

    def _setup(self) -> str:
        """The shell script that makes the mount namespace what it is to look like; $0 is the directory."""
        (self.directory / "run-networks").mkdir()
        enter = f"{entering(self._rootfs, self._share)}\n" if self._rootfs else ""
        shared = "/run/containers/networks"
        return f'{enter}mkdir -p {shared}\nmount --bind "$0/run-networks" {shared}'

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the service only; its containers run on."""
        if self._service is None:
            return
        self._service.send_signal(how)
        try:
            self._service.wait(10)
        except subprocess.TimeoutExpired:
            self._service.kill()
            self._service.wait(10)
        self._service = None

    def run(self, *args: str, check: bool = True, timeout: float = 300, stdin: bytes | None = None) -> str:
        """Run `podman ARGS` on the private store, past the service, and return its standard output."""
        env = {key: value for key, value in self.env.items() if key != "CONTAINER_HOST"}
        done = subprocess.run(
            [*self.command, *args], env=env, input=stdin, capture_output=True, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip()[-2000:]
            raise PodmanError(f"podman {' '.join(args[:3])} failed with {done.returncode}: {why}")
        return done.stdout.decode(errors="replace")

    def containers(self, app: str | None = None) -> dict[str, dict[str, object]]:
        """All containers, running or not, by name: what `podman inspect` says."""
        ids = self.run("ps", "-aq", "--no-trunc").split()
        rows = json.loads(self.run("inspect", *ids, check=False) or "[]") if ids else []
        prefix = f"minipaas-{app}-" if app else ""
        return {row["Name"]: row for row in rows if row["Name"].startswith(prefix)}

    def close(self) -> None:
        """Take everything down. Never raises for what is already gone."""
        with contextlib.suppress(Exception):
            self.stop()
        clean(self.directory)
        if self._holder is not None:
            self._holder.wait(10)

    @property
    def inside(self) -> tuple[str, ...]:
        """Words that run a command where this Podman runs."""
        return into(self._holder.pid) if self._holder else ()

    @property
    def command(self) -> list[str]:
        """`podman` on the private store, past the service; for an environment without CONTAINER_HOST."""
        return podman_inside(self.directory, self._holder.pid if self._holder else None)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "service.log").read_text(errors="replace").strip()[-1000:]
        return ""


def podman_inside(directory: Path, holder: int | None) -> list[str]:
    """A podman command that stays inside one directory and, while it is held, inside its mount namespace."""
    return [*(into(holder) if holder else ()), "podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run"]


def ping(path: Path) -> bool:
    """Whether a Podman service answers on this Unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=2)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(2)
        connection.sock.connect(str(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def clean(directory: Path) -> None:
    """Remove a private Podman's containers, networks, processes, mounts and files."""
    if not directory.exists():
        return
    conf = directory / "containers.conf"
    env = {**os.environ, "CONTAINERS_CONF": str(conf)}
    env.pop("CONTAINER_HOST", None)
    bridges = list(_bridges(directory))
    podman = podman_inside(directory, next(_processes(str(directory / HOLDS)), None))
    if conf.exists() and shutil.which("podman"):
        for args in (["rm", "--all", "--force", "--time", "0"], ["network", "prune", "--force"]):
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run([*podman, *args], env=env, capture_output=True, timeout=120, check=False)
    end_processes(str(directory))
    for bridge in bridges:
        ports = Path(f"/sys/class/net/{bridge}/brif")
        if ports.is_dir() and not any(ports.iterdir()):
            subprocess.run(["ip", "link", "delete", bridge], capture_output=True, timeout=30, check=False)
    unmount(directory)
    shutil.rmtree(directory, ignore_errors=True)


def _bridges(directory: Path) -> Iterator[str]:
    for path in (directory / "networks").glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            name = json.loads(path.read_text()).get("network_interface", "")
            if name and name != "podman0":
                yield name


def end_processes(mark: str, seconds: float = 5.0) -> None:
    """End every process whose command line names `mark`, a directory that only we use; never ourselves."""
    deadline = time.monotonic() + seconds
    while pids := list(_processes(mark)):
        how = signal.SIGKILL if time.monotonic() > deadline else signal.SIGTERM
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        if time.monotonic() > deadline + seconds:
            return
        time.sleep(0.1)


def _processes(mark: str) -> Iterator[int]:
    ancestors = set(_ancestors())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in ancestors:
            continue
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "cmdline").read_bytes() and not _zombie(entry):
                yield int(entry.name)


def _ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return


def _zombie(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def unmount(directory: Path) -> None:
    """Unmount everything mounted below a directory, deepest first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [point for point in mounts if point == str(directory) or point.startswith(f"{directory}/")]
    for point in sorted(ours, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, timeout=30, check=False)


def sweep() -> None:
    """Clean up after owners that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            owner = int((directory / HOLDS).read_text())
        except (OSError, ValueError):
            continue
        if not Path(f"/proc/{owner}").exists():
            clean(directory)

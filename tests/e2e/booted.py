"""A Debian 12 that has booted: systemd is process 1 of a container that has a Podman of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.box import BoxError, Done, free_port, wait_for
from kit.podman import PrivatePodman, limits_conf, v1_cgroups
from kit.roots import root

INIT = """
mount --make-rshared /
mkdir /run/proc
mount -t proc proc /run/proc
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
exec /sbin/init
"""
"""What a machine has and a container has not: mounts that reach those who hold a mount namespace already, as a user's
Podman does, and with each start a new boot id. One proc stays that nothing covers, or the kernel would not let a user's
containers mount theirs (user_namespaces(7))."""
NETWORK = """
[network]
default_subnet = "10.90.0.0/24"
default_subnet_pools = [{"base" = "10.91.0.0/16", "size" = 24}]
"""
"""Others than those of the Podman around it."""


class Booted:
    """The host, and root's hands on it. `door`: the port of it where apps answer, which is `ingress` of 127.0.0.1."""

    def __init__(self, podman: PrivatePodman, directory: Path, door: int) -> None:
        self.podman = podman
        self.share = directory / "share"
        self.ingress, self.secure = free_port(), 0
        self._door = door
        self._disks = {name: directory / name for name in ("containers", "home")}
        """An overlay of its own does not go on top of one."""
        for path in (self.share, *self._disks.values()):
            path.mkdir(parents=True)

    def boot(self) -> None:
        """Until systemd has nothing more to start."""
        mounts = (
            f"{self.share}:/share",
            f"{self._disks['containers']}:/var/lib/containers",
            f"{self._disks['home']}:/home",
        )
        words = ["run", "--detach", "--name", "host", "--systemd=always", "--cgroupns=private", "--privileged"]
        words += [*(f"--volume={one}" for one in mounts), "--publish", f"127.0.0.1:{self.ingress}:{self._door}"]
        # every Podman of this machine has the default network, and may take its bridge away
        words += ["--network", self.podman.run("network", "create", f"systemd-{self.ingress}").strip()]
        self.podman.run(*words, "--rootfs", f"{root('bookworm', systemd=True)}:O", "/bin/sh", "-ec", INIT)
        self._until_booted()
        conf = [*limits_conf(), "[engine]", *(['runtime = "runc"'] if v1_cgroups() else []), NETWORK]
        self.write("/etc/containers/containers.conf", "\n".join(conf))
        self.sh("systemctl stop podman.service")  # it may have been started without that configuration

    def reboot(self) -> None:
        """All that runs ends; what is on the disks stays."""
        self.sh("systemctl reboot", check=False)  # the line may be cut
        self.podman.run("wait", "host")
        self.podman.run("start", "host")
        self._until_booted()

    def _until_booted(self) -> None:
        wait_for("systemd has booted", lambda: self.sh("systemctl is-system-running --wait", check=False).code == 0)

    def write(self, path: str, text: str) -> None:
        """A file of the host."""
        (self.share / "file").write_text(text)
        self.sh(f"mkdir -p {Path(path).parent} && cp /share/file {path}")

    def sh(self, text: str, *, check: bool = True) -> Done:
        """A line that root types there."""
        env = {key: value for key, value in self.podman.env.items() if key != "CONTAINER_HOST"}
        words = [*self.podman.command, "exec", "host", "sh", "-c", text]
        ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
        done = Done((text,), ran.returncode, ran.stdout, ran.stderr)
        if check and done.code != 0:
            raise BoxError(f"{done}\n{self.story()}")
        return done

    def story(self) -> str:
        """What helps to understand a failure."""
        return self.sh("journalctl --no-pager --lines 200", check=False).out

    @contextmanager
    def running(self) -> Iterator[None]:
        """Booted, and gone at the end with all that is in it."""
        try:
            self.boot()
            yield
        finally:
            self.podman.run("rm", "--all", "--force", "--time", "0", check=False)
            self.podman.run("network", "prune", "--force", check=False)

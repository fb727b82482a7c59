"""minipaas as a service of a real systemd, process 1 of a container with a Podman of its own: the unit that `install`
writes, with its sockets, its watchdog and all that it forbids, through upgrades, returns and kills."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.box import Author, BoxError, Done, free_port, wait_for
from kit.podman import PrivatePodman, limits_conf, v1_cgroups
from kit.roots import root

from tests.built import build
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load
from tests.e2e.test_upgrade import DIES, newer, wrapped

WATCHDOG = 20
"""Seconds; systemd would wait a minute. An upgrade and the way back together take longer."""
SETTINGS = '[upgrade]\ntrial = "{trial}"\ndrain = "5s"\n'
DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG}\n"
NETWORK = """
[network]
default_subnet = "10.90.0.0/24"
default_subnet_pools = [{"base" = "10.91.0.0/16", "size" = 24}]
"""
"""Others than those of the Podman around it."""


class Host:
    """A Debian 12 that has booted."""

    def __init__(self, podman: PrivatePodman, author: Author, directory: Path) -> None:
        self.podman = podman
        self.author = author
        self.share = directory / "share"
        self.ingress, self.secure = free_port(), 0
        self._inner = directory / "containers"  # an overlay of its own does not go on top of one
        self._bundles = 0
        for path in (self.share, self._inner):
            path.mkdir(parents=True)

    def boot(self) -> None:
        """Until systemd has nothing more to start."""
        mounts = (f"{self.share}:/share", f"{self._inner}:/var/lib/containers")
        words = ["run", "--detach", "--name", "host", "--systemd=always", "--cgroupns=private", "--privileged"]
        words += [*(f"--volume={one}" for one in mounts), "--publish", f"127.0.0.1:{self.ingress}:80"]
        # every Podman of this machine has the default network, and may take its bridge away
        words += ["--network", self.podman.run("network", "create", f"systemd-{self.ingress}").strip()]
        self.podman.run(*words, "--rootfs", f"{root('bookworm', systemd=True)}:O", "/sbin/init")
        wait_for("systemd has booted", lambda: self.sh("systemctl is-system-running --wait", check=False).code == 0)
        conf = [*limits_conf(), "[engine]", *(['runtime = "runc"'] if v1_cgroups() else []), NETWORK]
        self.write("/etc/containers/containers.conf", "\n".join(conf))
        self.write("/etc/minipaas/config.toml", SETTINGS.format(trial="9s"))
        self.write("/etc/systemd/system/minipaas.service.d/watchdog.conf", DROP_IN)
        self.sh("systemctl stop podman.service")  # it may have been started without that configuration

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
        return self.sh("journalctl --unit minipaas --no-pager --lines 80; systemctl status minipaas", check=False).out

    def service(self) -> dict[str, str]:
        """What systemd says of it."""
        wanted = "MainPID,NRestarts,ActiveState,SubState,Result,WatchdogUSec,NotifyAccess"
        lines = self.sh(f"systemctl show minipaas --property {wanted}").out.splitlines()
        return dict(line.partition("=")[::2] for line in lines)  # type: ignore[misc]

    def program(self) -> str:
        """The file that the main process runs."""
        return self.sh(f"readlink /proc/{self.service()['MainPID']}/exe").out.strip()

    def bundle(self, tree: Path, change: Callable[[Path], None] | None = None) -> str:
        """A newer version than all before, signed by the author; where it lies on the host."""
        self._bundles += 1
        made = newer(tree, self.share / f"tree-{self._bundles}", f"99.0.{self._bundles}")
        if change is not None:
            change(made)
        words = ["--key", self.author.key, "--root", self.author.root, "--platform", "linux/amd64"]
        output = self.share / f"{self._bundles}.bundle"
        self.author.program.run("bundle", "self", made, "-o", output, *words, "--sequence", str(self._bundles))
        return f"/share/{output.name}"

    def came_to(self, *states: str) -> Callable[[], bool]:
        """Whether the last hand-over has, and another could begin."""

        def look() -> bool:
            seen = self.sh("minipaas upgrade --status --json", check=False)
            return bool(seen.code == 0 and seen.json["last"]["state"] in states and not seen.json["busy"])

        return look

    def containers(self) -> list[str]:
        """Ids and since when, of those that the host's own Podman runs."""
        return sorted(self.sh("podman ps --format '{{.ID}} {{.StartedAt}}'").out.splitlines())


@pytest.fixture
def host(
    podman: PrivatePodman, author: Author, built: Path, hello: HelloBundles, request: pytest.FixtureRequest
) -> Iterator[Host]:
    one = Host(podman, author, podman.directory / "systemd")
    for name, source in {"minipaas": built / "minipaas", "root.json": author.root, "hello": hello()}.items():
        (one.share / name).write_bytes(source.read_bytes())
    (one.share / "minipaas").chmod(0o755)
    try:
        one.boot()
        yield one
        if getattr(request.node, "failed", False):
            print(one.story())
    finally:
        podman.run("rm", "--all", "--force", "--time", "0", check=False)
        podman.run("network", "prune", "--force", check=False)


@pytest.fixture(scope="module")
def built() -> Path:
    """`dist/`, current."""
    return build()


def test_a_service_of_systemd_through_upgrades_and_kills(host: Host, built: Path) -> None:
    said = host.sh("cp /share/minipaas /root && cd /root && ./minipaas install --trust /share/root.json").out
    assert "runs, and starts with the host" in said
    first = host.service()
    assert (first["ActiveState"], first["NotifyAccess"], first["WatchdogUSec"]) == ("active", "main", f"{WATCHDOG}s")
    assert "NoNewPrivs:\t1" in host.sh(f"cat /proc/{first['MainPID']}/status").out, "it is shut in"
    host.sh("minipaas deploy /share/hello")
    apps, version = host.containers(), host.sh("minipaas --version").out.split()[1]
    assert len(apps) == 2

    with Load(host, HOST) as load:
        upgrade_and_back(host, built, version)
        wait_for("the app answers", lambda: load.count > 100)
    assert load.failures[:5] == []
    bad_version(host, built)
    assert host.service() == first, "systemd has noticed nothing at all"
    assert host.containers() == apps

    killed_on_trial(host, built)
    assert host.containers() == apps
    with Load(host, HOST) as load:
        wait_for("the app answers", lambda: load.count > 20)
    assert load.failures == []


def upgrade_and_back(host: Host, built: Path, version: str) -> None:
    """It takes longer than systemd would wait for a sign of life from the process that it knows."""
    before, began = host.program(), time.monotonic()
    said = host.sh(f"minipaas upgrade {host.bundle(built / 'program')}").out
    assert "minipaas 99.0.1 serves" in said
    children = host.sh(f"cat /proc/{host.service()['MainPID']}/task/*/children").out.split()
    assert children, "the new version serves beside the one that systemd knows"
    wait_for("the new version is confirmed, and alone", host.came_to("done"), every=0.5)
    assert "/versions/99.0.1-" in host.program()
    said = host.sh("minipaas rollback --self --yes").out
    assert f"minipaas {version} serves" in said
    wait_for("the old version is alone again", host.came_to("done"), every=0.5)
    assert host.program() == before
    time.sleep(max(0.0, WATCHDOG + 2 - (time.monotonic() - began)))


def bad_version(host: Host, built: Path) -> None:
    """It dies twice on trial."""
    host.sh(f"minipaas upgrade {host.bundle(built / 'program', lambda made: wrapped(made, DIES))}")
    wait_for("the version before is back", host.came_to("returned"), every=0.5)
    for command in ("minipaas upgrade --status", "minipaas doctor"):
        said = host.sh(command, check=False).out
        assert "went back to" in said
        assert "it was killed by signal 9" in said


def killed_on_trial(host: Host, built: Path) -> None:
    """systemd starts it again, and that is counted."""
    version = host.sh("minipaas --version").out.split()[1]
    host.write("/etc/minipaas/config.toml", SETTINGS.format(trial="5m"))
    host.sh("minipaas reload")
    wait_for("the configuration is the new one", host.came_to("done"), every=0.5)
    host.sh(f"minipaas upgrade {host.bundle(built / 'program')}")
    for number, expected in enumerate(("99.0.3", version), 1):
        pid = host.service()["MainPID"]
        host.sh(f"kill -KILL {pid}")

        def again(pid: str = pid) -> bool:
            seen = host.service()
            return seen["ActiveState"] == "active" and seen["MainPID"] not in ("0", pid)

        wait_for("systemd has started it again", again, every=0.5)
        assert host.service()["NRestarts"] == str(number)
        assert f"minipaas {expected} serves" in host.sh("minipaas upgrade --status").out
    assert f"went back to {version}: it did not last 300 s, 2 times" in host.sh("minipaas upgrade --status").out

"""minipaas as a service of a real systemd, process 1 of a container with a Podman of its own: the unit that `install`
writes, with its sockets, its watchdog and all that it forbids, through upgrades, returns and kills."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.box import Author, wait_for
from kit.podman import PrivatePodman

from tests.built import build
from tests.e2e.booted import Booted
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load
from tests.e2e.test_upgrade import DIES, newer, wrapped

WATCHDOG = 20
"""Seconds; systemd would wait a minute. An upgrade and the way back together take longer."""
SETTINGS = '[upgrade]\ntrial = "{trial}"\ndrain = "5s"\n'
DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG}\n"


class Host(Booted):
    """With minipaas as a service of all of it."""

    def __init__(self, podman: PrivatePodman, author: Author, directory: Path) -> None:
        super().__init__(podman, directory, door=80)
        self.author = author
        self._bundles = 0

    def boot(self) -> None:
        """Also what an operator has set before."""
        super().boot()
        self.write("/etc/minipaas/config.toml", SETTINGS.format(trial="9s"))
        self.write("/etc/systemd/system/minipaas.service.d/watchdog.conf", DROP_IN)

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
    with one.running():
        yield one
        if getattr(request.node, "failed", False):
            print(one.story())


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

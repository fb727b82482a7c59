"""The built file on a host without systemd: install, deploy, crash, stop, start, uninstall, as an operator would.

The host is this machine in a mount namespace: what lies in /etc and /run there is of this test alone, and everything
else below a prefix, at a path where Podman, which is not in there, sees the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.box import Author, BoxError, Done, Program, fetch, free_port, wait_for
from kit.namespace import into
from kit.podman import PrivatePodman, end_processes

from minipaas.install.layout import Layout
from tests.built import build
from tests.e2e.books import block
from tests.e2e.hello import HelloBundles

SCRIPT = "/etc/init.d/minipaas"
NOBODY = 65534
FORCED = "--init sysv --force"
"""These tests may run where no box should be, as on a disk in memory."""
LAYERS = """
set -e
mkdir -p "$0/etc/up" "$0/etc/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$0/etc/up,workdir=$0/etc/work" overlay /etc
mount -t tmpfs tmpfs /run
echo
exec tail -f /dev/null "$0/holder"
"""


class Host:
    """Runs commands where minipaas is, or is to be, installed."""

    def __init__(self, podman: PrivatePodman, directory: Path) -> None:
        self.directory = directory
        (directory / "holder").parent.mkdir(parents=True)
        (directory / "holder").write_text("")
        self.http, self.page = free_port(), free_port()
        self.prefix = directory / "prefix"
        self.data = self.prefix / "var/lib/minipaas"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", LAYERS, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"\n", "the host's layers are mounted"
        self.words = into(self._holder.pid)
        path = f"{self.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"PATH": path, "HOME": "/root", "MINIPAAS_DATA": str(self.data)}
        self.program = Program(podman, (*self.words, "minipaas"), env, clean=True)
        self.copied = Program(podman, (*self.words, str(directory / "minipaas")), env, clean=True)

    def sh(self, text: str, check: bool = True) -> str:
        """A line that the operator types; what it says."""
        env = self.program.environment()
        words = [*self.words, "sh", "-c", f"cd {self.directory} && {text}"]
        ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
        if check and ran.returncode != 0:
            raise BoxError(f"{text}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout + ran.stderr

    def typed(self, name: str) -> list[str]:
        """The lines of a block in the handbook, for this place."""
        elsewhere = f"--prefix {self.prefix}"
        lines = block("docs/operator-handbook.md", name).splitlines()
        swap = {"./minipaas install": f"./minipaas install {FORCED} {elsewhere}", "uninstall": f"uninstall {elsewhere}"}
        return [re.sub("|".join(swap), lambda found: swap[found[0]], line) for line in lines]

    def pid(self) -> int:
        """Of `serve`."""
        return int((self.data / "lock").read_text())

    def install(self, *more: str | Path) -> str:
        """Once more, with the copied file."""
        return self.copied.run("install", *FORCED.split(), "--prefix", self.prefix, *more).out

    def serves(self) -> bool:
        """Whether hello answers through the ingress."""
        try:
            return fetch(self.http, host="hello.localhost", timeout=5).status == 200
        except OSError:
            return False

    def close(self) -> None:
        """Nothing of it is left running."""
        self.sh(f"[ ! -e {SCRIPT} ] || {SCRIPT} stop", check=False)
        end_processes(str(self.directory))
        self._holder.wait(10)


@pytest.fixture(scope="module")
def built() -> Path:
    """`dist/minipaas`, current."""
    return build() / "minipaas"


@pytest.fixture
def host(podman: PrivatePodman, built: Path) -> Iterator[Host]:
    one = Host(podman, podman.directory / "host")
    try:
        one.sh(f"cp {built} {one.directory}/minipaas")
        config = f'[api]\nlisten = ["127.0.0.1:{one.page}"]\n[ingress]\nhttp = ["127.0.0.1:{one.http}"]\n'
        (one.prefix / "etc/minipaas").mkdir(parents=True)
        (one.prefix / "etc/minipaas/config.toml").write_text(config)
        yield one
    finally:
        one.close()
        podman.run("rm", "--all", "--force", "--time", "0", check=False)


def by_hand(host: Host) -> None:
    """One that runs already is no service's: nothing is installed under it."""
    words = ["serve", "--config", str(host.prefix / "etc/minipaas/config.toml"), "--data", str(host.data)]
    env = host.copied.environment()
    with subprocess.Popen([*host.copied.command, *words], env=env, stderr=subprocess.DEVNULL) as serve:
        wait_for("it answers", lambda: host.copied.run("status", check=False).code == 0)
        refused = host.copied.run("install", *FORCED.split(), "--prefix", host.prefix, check=False)
        serve.terminate()
    assert (refused.code, "a minipaas that no service started" in refused.err) == (3, True), refused
    assert not (host.prefix / "opt").exists()


def test_a_host_from_copying_to_uninstalling(host: Host, built: Path, author: Author, hello: HelloBundles) -> None:
    by_hand(host)
    (host.directory / "root.json").write_bytes(author.root.read_bytes())
    install, *checks = (*host.typed("install"), *host.typed("doctor"))
    told = host.sh(install)
    assert "✓ start" in told, told
    assert "✓ trust  root version 1" in told
    assert f"page: http://127.0.0.1:{host.page}" in told
    commands = [line.strip() for line in told.partition("Next:\n")[2].splitlines()]
    assert len(commands) == 3
    for command in (commands[0], *checks):
        assert "✗" not in host.sh(command, check="doctor" not in command)

    again(host)
    bundle = hello("1.0.0")
    host.program.run("deploy", bundle)
    assert host.serves()
    lives = host.program.podman.containers("hello")

    crashed = host.pid()
    os.kill(crashed, 9)
    wait_for("the supervisor starts it again", lambda: host.serves() and host.pid() != crashed)
    assert "is running" in host.sh(f"{SCRIPT} status")
    host.sh(f"{SCRIPT} stop")
    assert not host.serves()
    assert "is not running" in host.sh(f"{SCRIPT} status", check=False)
    host.sh(f"{SCRIPT} start")
    wait_for("the app is routed again", host.serves)
    assert host.program.podman.containers("hello").keys() == lives.keys(), "no container was touched"

    doctor(host)
    completion(host)
    a_version_that_does_not_start(host, built)
    uninstalled(host, lives.keys())


def again(host: Host) -> None:
    """Typed again, nothing is done."""
    before = host.pid()
    told = host.install("--trust", host.directory / "root.json")
    done = [line for line in told.splitlines() if line.startswith("✓") and "already" not in line]
    assert [line[2:].partition("  ")[0] for line in done] == ["look at this host", "start with the host", "trust"]
    assert host.pid() == before


def a_version_that_does_not_start(host: Host, program: Path) -> None:
    """It says why, and what brings back the one before; that brings it back."""
    layout = Layout(host.prefix / "opt/minipaas")
    with layout.lock():
        (tree := host.directory / "tree").mkdir()
        subprocess.run(["cp", "-a", f"{program.parent}/program/.", tree], check=True)
        (tree / "note").write_text("another one")
        layout.switch(layout.place(tree, "0.0.9"))
    host.sh(f"{SCRIPT} stop")
    known = schema(host)
    schema(host, 999)
    failed = host.copied.run("install", *FORCED.split(), "--prefix", host.prefix, check=False)
    assert (failed.code, "its schema is version 999" in failed.err) == (3, True), failed
    schema(host, known)
    back = failed.err.rpartition("is back by: ")[2].strip()
    assert back == f"{layout.home}/previous/minipaas install --prefix {host.prefix}"
    host.sh(f"{back} {FORCED}")
    current = layout.current()
    assert current is not None
    assert (current.path / "note").exists()
    wait_for("it serves again", host.serves)


def schema(host: Host, becomes: int | None = None) -> int:
    """The version that the registry says it has."""
    with contextlib.closing(sqlite3.connect(host.data / "registry.db")) as db:
        if becomes is not None:
            db.execute(f"PRAGMA user_version = {becomes}")
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def doctor(host: Host) -> None:
    said = host.program.run("doctor", "--json", check=False)
    levels = {one["name"]: one for one in said.json["findings"]}
    for name in ("podman", "program", "service", "box", "trust", "app port", "page port"):
        assert levels[name]["level"] == "ok", levels[name]
    assert "1 app, 2 of 2 instances healthy" in levels["box"]["says"]


def completion(host: Host) -> None:
    """Bash finds it where it looks, and it completes."""
    script = f"{host.prefix}/share/bash-completion/completions/minipaas"
    told = host.sh(
        f"bash -c '. {script} && complete -p minipaas'; COMP_WORDS='minipaas unins' COMP_CWORD=1 "
        "_MINIPAAS_COMPLETE=bash_complete minipaas"
    )
    assert "-F _minipaas_completion minipaas" in told
    assert "plain,uninstall" in told
    assert ".TH MINIPAAS 1" in (host.prefix / "share/man/man1/minipaas.1").read_text()


def uninstalled(host: Host, containers: object) -> None:
    refused: Done = host.program.run("uninstall", "--prefix", host.prefix, check=False)
    assert refused.code == 2
    assert host.serves(), "nobody said yes"
    (line,) = host.typed("uninstall")
    told = host.sh(line)
    for name in host.program.podman.containers("hello"):
        assert name in told, "what keeps running is named"
    assert host.program.podman.containers("hello").keys() == containers
    assert host.sh(f"ls -d {host.prefix}/opt/minipaas {host.prefix}/bin/minipaas {SCRIPT} 2>/dev/null || true") == ""
    assert (host.data / "registry.db").exists()

    host.install()
    wait_for("it goes on where it ended", host.serves)
    did = [row["action"] for row in json.loads(host.program.run("audit", "--json").out)["rows"]]
    assert did[:2] == ["install", "uninstall"]
    host.program.run("uninstall", "--prefix", host.prefix, "--yes", "--purge")
    assert [path for path in host.prefix.rglob("*") if not path.is_dir()] == []


def test_a_user_alone(built: Path, author: Author) -> None:
    """In that user's home; nothing of the host is touched. Without a systemd of the user's, nothing is started."""
    with tempfile.TemporaryDirectory(prefix="minipaas-user-", dir="/tmp") as name:
        home = Path(name)
        (home / "minipaas").write_bytes(built.read_bytes())
        (home / "minipaas").chmod(0o755)
        (home / "root.json").write_bytes(author.root.read_bytes())
        os.chown(home, NOBODY, NOBODY)
        (line,) = block("docs/operator-handbook.md", "install-user").splitlines()
        env = {"HOME": name, "PATH": "/usr/bin:/bin"}

        def typed(text: str) -> str:
            ran = subprocess.run(
                ["sh", "-c", text], cwd=home, env=env, user=NOBODY, group=NOBODY, extra_groups=[],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stdout + ran.stderr
            return ran.stdout

        told = typed(line.replace(" install ", " install --init none --force "))
        data, config = home / ".local/share/minipaas", home / ".config/minipaas/config.toml"
        assert f"{home}/.local/bin/minipaas serve --config {config} --data {data}" in told
        assert "minipaas trust add root.json" in told
        assert typed(f"{home}/.local/bin/minipaas --version").startswith("minipaas ")
        assert data.stat().st_mode & 0o777 == 0o700
        typed(f"{home}/.local/bin/minipaas uninstall --user --yes --purge")
        left = {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}
        assert {path for path in left if "minipaas" in path} == {"minipaas"}, "the rest is Podman's own"


def test_an_image_that_is_made_on_another_machine(built: Path, tmp_path: Path) -> None:
    """DESTDIR: all files, enabled, nothing started."""
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd").write_text("")
    (tmp_path / "usr/lib/systemd/system/podman.socket").write_text("")
    env = {**os.environ, "DESTDIR": str(tmp_path)}
    ran = subprocess.run([built, "install"], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"Not started: it lies below {tmp_path}" in ran.stdout
    enabled = {path.name for path in (tmp_path / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert enabled == {"minipaas.service"}
    assert "ProtectSystem=strict" in (tmp_path / "etc/systemd/system/minipaas.service").read_text()
    told = subprocess.run([tmp_path / "opt/minipaas/current/minipaas", "--version"], capture_output=True, check=True)
    assert told.stdout.startswith(b"minipaas ")

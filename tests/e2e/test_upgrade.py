"""The built program upgrades itself on real Podman under load: no request is lost, no container is touched; and a bad
version is gone back from by itself, with the reason."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import REPO, Author, Box, BoxError, Program, wait_for
from kit.podman import PrivatePodman

from minipaas.install.layout import Layout
from tests.built import run
from tests.e2e.books import block
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load
from tests.e2e.test_restart import lives

NEWER = "99.0.0"
HANDBOOK = "docs/operator-handbook.md"
SETTINGS = '[upgrade]\ntrial = "{trial}"\nready = "{ready}"\ndrain = "5s"\n'
WRAPPER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
[ "$1" != serve ] || {{
{serve}
}}
exec "$here/right" "$@"
"""
"""What stands in the place of the program in a version that has its faults in `serve` alone: the program itself, in a
bad state. The words of `serve`: --config FILE --data DIR."""
DEAF = 'set -- serve --config "{config}" --data "$5"'
"""It waits for a Podman that never answers."""
DIES = """
    (
        while ! grep -q '"state":"trial"' "$5/upgrade.json"; do sleep 0.1; done
        echo the new version is about to die of a broken heart >&2
        sleep 0.3
        kill -KILL $$
    ) &
"""
"""It serves, and soon after it is dead."""


@pytest.fixture(scope="module")
def tree() -> Path:
    """The program tree that `scripts/build` makes."""
    run(str(REPO / "scripts/build"))
    return REPO / "dist/program"


def newer(tree: Path, made: Path, version: str = NEWER) -> Path:
    """The same program under another version."""
    shutil.copytree(tree, made, symlinks=True)
    (about,) = [
        path
        for path in made.rglob("*")
        if path.name in ("METADATA", "PKG-INFO") and path.parent.name.startswith("minipaas")
    ]
    lines = about.read_text().splitlines(keepends=True)
    about.write_text("".join(f"Version: {version}\n" if line.startswith("Version: ") else line for line in lines))
    return made


def wrapped(tree: Path, serve: str) -> None:
    """Something else begins when this version is to serve."""
    (tree / "minipaas").rename(tree / "right")
    (tree / "minipaas").write_text(WRAPPER.format(serve=serve))
    (tree / "minipaas").chmod(0o755)


class Host:
    """Where the built program is laid out as `minipaas install` does it, and serves hello."""

    def __init__(self, box: Box, author: Author, tree: Path, directory: Path) -> None:
        self.box = box
        self.author = author
        self.tree = tree
        self.directory = directory
        self.layout = Layout(directory / "opt")
        self.version = str(author.program.run("version", "--json").json["version"])
        with self.layout.lock():
            self.layout.switch(self.layout.place(tree, self.version))
        box.program = Program(box.program.podman, (str(self.layout.home / "current" / "minipaas"),))
        self._bundles = 0

    def begin(self, hello: Path) -> None:
        """A box that its operator has set up."""
        self.box.start()
        self.box.cli("trust", "add", self.author.root)
        self.box.cli("deploy", hello)

    def bundle(self, change: Callable[[Path], None] | None = None) -> Path:
        """A newer version than all before, signed by the author; `change` spoils it."""
        self._bundles += 1
        made = newer(self.tree, self.directory / f"tree-{self._bundles}", f"99.0.{self._bundles}")
        if change is not None:
            change(made)
        words = ["--key", self.author.key, "--root", self.author.root, "--platform", "linux/amd64"]
        output = self.directory / f"{self._bundles}.bundle"
        self.author.program.run("bundle", "self", made, "-o", output, *words, "--sequence", str(self._bundles))
        return output

    @property
    def current(self) -> str:
        """What would start next."""
        found = self.layout.current()
        return found.version if found is not None else ""

    def status(self) -> str:
        """What the operator reads."""
        return self.box.cli("upgrade", "--status").out

    def state(self, *states: str) -> Callable[[], bool]:
        """Whether the last hand-over has come so far, and another could begin."""

        def look() -> bool:
            with contextlib.suppress(BoxError):  # one process hands over to another, or crashes
                seen = self.box.cli("upgrade", "--status", "--json").json
                return bool(seen["last"]["state"] in states and (states == ("trial",) or not seen["busy"]))
            return False

        return look


def held(lock: Path) -> bool:
    """Whether a box uses the data directory."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.fixture
def host(boxes: Callable[..., Box], author: Author, tree: Path, tmp_path: Path) -> Callable[..., Host]:
    """Makes one, with its own times."""

    def make(trial: str = "3s", ready: str = "60s") -> Host:
        return Host(boxes(config=SETTINGS.format(trial=trial, ready=ready)), author, tree, tmp_path)

    return make


def test_the_built_program_upgrades_itself_and_goes_back(
    host: Callable[..., Host], podman: PrivatePodman, author: Author, hello: HelloBundles, tmp_path: Path
) -> None:
    here = host()
    here.begin(hello())
    box, before, pid = here.box, lives(podman), here.box.pid
    newer(here.tree, tmp_path / "dist/minipaas")
    for name in ("release.key", "root.json"):
        shutil.copy2(author.directory / name, tmp_path / name)

    def typed(document: str, name: str) -> str:
        """What a document says, in a directory that has what it names."""
        words = shlex.join(box.program.command)
        done = subprocess.run(
            ["bash", "-ec", f'minipaas() {{ {words} "$@"; }}\n{block(document, name)}'],
            cwd=tmp_path,
            env=box.program.environment(MINIPAAS_HOST=box.url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{box.story()}"
        return done.stdout

    typed("docs/author-handbook.md", "bundle-self")
    with Load(box, HOST) as load:
        said = typed(HANDBOOK, "upgrade")
        assert f"minipaas {NEWER} serves" in said
        assert "✓ hand the box over" in said
        assert "on trial" in said
        wait_for("the new version is confirmed, and alone", here.state("done"), every=0.5)
        assert box.api("/box")["version"] == here.current == NEWER

        said = typed(HANDBOOK, "upgrade-back")
        assert f"minipaas {here.version} serves" in said
        wait_for("the old version is alone again", here.state("done"), every=0.5)
        assert box.api("/box")["version"] == here.version
    assert load.failures == []
    assert load.count > 100
    assert lives(podman) == before
    assert box.pid == pid
    assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(here.layout.home / "versions")
    actions = [row["action"] for row in box.cli("audit", "--json").json["rows"]]
    assert "self.upgrade" in actions
    assert "self.rollback" in actions


def test_a_version_that_is_never_ready(
    host: Callable[..., Host], podman: PrivatePodman, hello: HelloBundles, tmp_path: Path
) -> None:
    here = host(ready="4s")
    here.begin(hello())
    box, before, pid = here.box, lives(podman), here.box.pid

    def waits_for_ever(made: Path) -> None:
        config = tmp_path / "deaf.toml"
        config.write_text(box.config.read_text().replace(podman.url, f"unix://{tmp_path}/deaf.sock"))
        wrapped(made, DEAF.format(config=config))

    def lacks_a_library(made: Path) -> None:
        (library,) = made.glob("lib/parts/uvloop/loop*.so")
        library.unlink()

    with socket.socket(socket.AF_UNIX) as deaf, Load(box, HOST) as load:
        deaf.bind(str(tmp_path / "deaf.sock"))
        deaf.listen()
        reasons = {waits_for_ever: "it was not ready within 4 s", lacks_a_library: "No module named 'uvloop.loop'"}
        for number, (change, reason) in enumerate(reasons.items(), 1):
            done = box.cli("upgrade", here.bundle(change), check=False)
            assert done.code == 1, done
            assert f"✓ try minipaas 99.0.{number}" in done.out
            assert "cannot upgrade: " in done.err
            assert reason in done.err
            assert f"minipaas {here.version} serves on; see: minipaas upgrade --status" in done.err
            assert f"last upgrade to 99.0.{number}" in here.status()
            assert reason in here.status()
            assert here.state("failed")(), "another upgrade can begin"
            assert box.api("/box")["version"] == here.current == here.version
    assert load.failures == []
    assert load.count > 100
    assert lives(podman) == before
    assert box.pid == pid


def test_a_version_that_dies_twice_on_trial(
    host: Callable[..., Host], podman: PrivatePodman, hello: HelloBundles
) -> None:
    here = host(trial="60s")
    here.begin(hello())
    box, before, pid = here.box, lives(podman), here.box.pid
    done = box.cli("upgrade", "--wait", here.bundle(lambda made: wrapped(made, DIES)), check=False)
    assert "minipaas 99.0.1 serves" in done.out
    assert f"if it crashes twice before, {here.version} comes back by itself" in done.out
    assert "  the new version is about to die of a broken heart" in done.out, "its last words"
    assert (done.code, "cannot upgrade: it was killed by signal 9" in done.err) == (1, True), done
    assert f"minipaas {here.version} serves again; see: minipaas upgrade --status" in done.err
    said = here.status()
    assert f"minipaas {here.version} serves" in said
    assert f"went back to {here.version}: it was killed by signal 9" in said
    assert here.current == here.version
    refused = box.cli("rollback", "--self", "--yes", check=False)
    assert (refused.code, "there is no minipaas before this one" in refused.err) == (4, True), "never to the bad one"
    with Load(box, HOST) as load:
        wait_for("the app answers", lambda: load.count > 20)
    assert load.failures == []
    assert lives(podman) == before
    assert box.pid == pid
    assert f"went back to {here.version}" in box.cli("audit").out


def test_the_main_process_is_killed_twice_during_the_trial(
    host: Callable[..., Host], podman: PrivatePodman, hello: HelloBundles
) -> None:
    """Nobody is left who watches: whoever starts next counts."""
    here = host(trial="120s")
    here.begin(hello())
    box, before = here.box, lives(podman)
    box.cli("upgrade", here.bundle())
    for version in ("99.0.1", here.version):
        box.kill()
        wait_for("what served for it has ended too", lambda: not held(box.data / "lock"))
        box.start()
        assert box.api("/box")["version"] == version
        wait_for("the app answers", lambda: box.get("/", host=HOST).status == 200)
    said = here.status()
    assert f"minipaas {here.version} serves" in said
    assert f"went back to {here.version}: it did not last 120 s, 2 times" in said
    assert here.current == here.version
    assert lives(podman) == before
    assert f"went back to {here.version}" in box.cli("audit").out

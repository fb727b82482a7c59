"""The built program upgrades itself on real Podman under load: no request is lost, no container is touched."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import REPO, Author, Box, Program, wait_for
from kit.podman import PrivatePodman

from minipaas.install.layout import Layout
from tests.built import run
from tests.e2e.books import block
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load
from tests.e2e.test_restart import lives

NEWER = "99.0.0"
HANDBOOK = "docs/operator-handbook.md"


@pytest.fixture(scope="module")
def tree() -> Path:
    """The program tree that `scripts/build` makes."""
    run(str(REPO / "scripts/build"))
    return REPO / "dist/program"


def newer(tree: Path, directory: Path) -> Path:
    """The same program under another version."""
    made = directory / "newer"
    shutil.copytree(tree, made, symlinks=True)
    (about,) = [
        path
        for path in made.rglob("*")
        if path.name in ("METADATA", "PKG-INFO") and path.parent.name.startswith("minipaas")
    ]
    lines = about.read_text().splitlines(keepends=True)
    about.write_text("".join(f"Version: {NEWER}\n" if line.startswith("Version: ") else line for line in lines))
    return made


def test_the_built_program_upgrades_itself_and_goes_back(
    tree: Path,
    podman: PrivatePodman,
    boxes: Callable[..., Box],
    author: Author,
    hello: HelloBundles,
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "opt")
    version = author.program.run("version", "--json").json["version"]
    with layout.lock():
        layout.switch(layout.place(tree, version))
    program = Program(podman, (str(layout.home / "current" / "minipaas"),))
    box: Box = boxes(config='[upgrade]\ntrial = "3s"\ndrain = "5s"\n')
    box.program = program
    box.start()
    box.cli("trust", "add", author.root)
    box.cli("deploy", hello())
    before, pid = lives(podman), box.pid
    shutil.copytree(newer(tree, tmp_path), tmp_path / "dist/minipaas", symlinks=True)
    for name in ("release.key", "root.json"):
        shutil.copy2(author.directory / name, tmp_path / name)

    def typed(document: str, name: str) -> str:
        """What a document says, in a directory that has what it names."""
        done = subprocess.run(
            ["bash", "-ec", f'minipaas() {{ {shlex.join(program.command)} "$@"; }}\n{block(document, name)}'],
            cwd=tmp_path,
            env=program.environment(MINIPAAS_HOST=box.url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{box.story()}"
        return done.stdout

    def settled() -> bool:
        seen = box.cli("upgrade", "--status", "--json").json
        return bool(seen["last"]["state"] == "done" and not seen["busy"])

    typed("docs/author-handbook.md", "bundle-self")
    with Load(box, HOST) as load:
        said = typed(HANDBOOK, "upgrade")
        assert f"minipaas {NEWER} serves" in said
        assert "✓ hand the box over" in said
        assert "on trial" in said
        wait_for("the new version is confirmed, and alone", settled)
        assert box.api("/box")["version"] == NEWER
        assert layout.current() is not None and layout.current().version == NEWER  # type: ignore[union-attr]

        said = typed(HANDBOOK, "upgrade-back")
        assert f"minipaas {version} serves" in said
        wait_for("the old version is alone again", settled)
        assert box.api("/box")["version"] == version
    assert load.failures == []
    assert load.count > 100
    assert lives(podman) == before
    assert box.pid == pid
    assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(layout.home / "versions")
    actions = [row["action"] for row in box.cli("audit", "--json").json["rows"]]
    assert "self.upgrade" in actions
    assert "self.rollback" in actions

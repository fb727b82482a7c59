"""What a build context holds, and what stays out."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from minipaas.engine.context import Ignore, write_context

PATTERNS = [
    (["*.log"], "a.log", True),
    (["*.log"], "d/a.log", False),  # rooted at the context
    (["**/*.log"], "d/e/a.log", True),
    (["**/*.log"], "a.log", True),
    (["node_modules"], "node_modules/x/y.js", True),
    (["/node_modules/"], "node_modules", True),
    (["d/*"], "d/e/f", True),
    (["d/?.c"], "d/a.c", True),
    (["d/?.c"], "d/ab.c", False),
    (["d/**"], "d/a/b", True),
    (["*", "!keep"], "keep", False),
    (["*", "!keep"], "other", True),
    (["*", "!d/keep", "d/keep/not"], "d/keep/not", True),
    (["[ab].txt"], "a.txt", True),
    (["[ab].txt"], "c.txt", False),
    (["./x"], "x", True),
    (["a.b"], "axb", False),
    (["\\*"], "x", False),
    ([], "x", False),
]


@pytest.mark.parametrize(("patterns", "path", "out"), PATTERNS)
def test_patterns(patterns: list[str], path: str, out: bool) -> None:
    assert Ignore(patterns)(path) is out


def pack(context: Path, containerfile: str = "Containerfile") -> dict[str, tarfile.TarInfo]:
    out = io.BytesIO()
    write_context(context, containerfile, out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {member.name: member for member in tar}


def test_a_context(tmp_path: Path) -> None:
    for name in ("Containerfile", "app.py", "notes.log", "node_modules/a.js", "keys/secret", "keys/public"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "link").symlink_to("app.py")
    (tmp_path / ".dockerignore").write_text("*")
    (tmp_path / ".containerignore").write_text("# a comment\n*.log\nnode_modules\nkeys\n!keys/public\nContainerfile\n")
    packed = pack(tmp_path)
    assert sorted(packed) == [
        ".containerignore",
        ".dockerignore",
        "Containerfile",
        "app.py",
        "keys/public",
        "link",
    ]
    assert packed["link"].issym()
    assert {(member.uid, member.gid, member.uname) for member in packed.values()} == {(0, 0, "root")}


def test_a_containerfile_below_an_ignored_directory_is_there(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "Containerfile").write_text("FROM scratch")
    (tmp_path / ".containerignore").write_text("deploy")
    assert "deploy/Containerfile" in pack(tmp_path, "deploy/Containerfile")

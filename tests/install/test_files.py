"""Files of the host: written only when they are not right, whole, and readable whatever the umask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minipaas.install import files
from minipaas.model.errors import MinipaasError


def test_written_once(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.conf"
    before = os.umask(0o077)
    try:
        assert files.write(path, "text")
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == ("text", 0o644, 0o755)
    inode = path.stat().st_ino
    assert not files.write(path, "text")
    assert path.stat().st_ino == inode
    assert files.write(path, "text", 0o755)
    assert files.write(path, "other", 0o755)
    assert [one.name for one in path.parent.iterdir()] == ["c.conf"]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "ours").symlink_to("theirs")
    assert files.write(tmp_path / "ours", "ours")
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_point_and_remove(tmp_path: Path) -> None:
    assert files.point(tmp_path / "bin/minipaas", Path("/opt/minipaas/current/minipaas"))
    assert not files.point(tmp_path / "bin/minipaas", Path("/opt/minipaas/current/minipaas"))
    (tmp_path / "old").write_text("a copied program")
    assert files.point(tmp_path / "old", Path("/opt"))
    assert files.remove(tmp_path / "old")
    assert not files.remove(tmp_path / "old")


def test_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MinipaasError, match=r"cannot write .*: Not a directory"):
        files.write(tmp_path / "file/below/x", "text")

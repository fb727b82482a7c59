"""Tars from instances, taken apart here."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from minipaas.model.errors import Invalid, Refused
from minipaas.surface.cli.unpack import unpack
from tests.forensics.test_tarcheck import tar

DIRECTORY: tuple[str, bytes, dict[str, Any]] = ("d", b"", {"type": tarfile.DIRTYPE})


def test_a_file_under_another_name_and_into_a_directory(tmp_path: Path) -> None:
    data = tar(("hosts", b"one", {"mode": 0o4755, "mtime": 1000, "uid": 12345}))
    unpack(io.BytesIO(data), tmp_path / "mine", "hosts")
    unpack(io.BytesIO(data), tmp_path, "hosts")
    for name in ("mine", "hosts"):
        stat = (tmp_path / name).stat()
        assert ((tmp_path / name).read_bytes(), stat.st_mode & 0o7777, stat.st_mtime) == (b"one", 0o755, 1000)
        assert stat.st_uid != 12345


TREE = (
    ("etc", b"", {"type": tarfile.DIRTYPE, "mode": 0o500}),
    ("etc/a", b"a", {}),
    ("etc/link", b"", {"type": tarfile.SYMTYPE, "linkname": "/nowhere"}),
    ("etc/same", b"", {"type": tarfile.LNKTYPE, "linkname": "etc/a"}),
    ("etc/null", b"", {"type": tarfile.CHRTYPE}),
)


def test_a_directory(tmp_path: Path) -> None:
    unpack(io.BytesIO(tar(*TREE)), tmp_path / "copy", "etc")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["a", "link", "same"]
    assert (tmp_path / "copy/same").read_bytes() == b"a"
    unpack(io.BytesIO(tar(*TREE)), tmp_path, "etc")
    unpack(io.BytesIO(tar(*TREE)), tmp_path, "etc")
    assert (tmp_path / "etc/link").readlink() == Path("/nowhere")


def test_what_is_in_a_directory(tmp_path: Path) -> None:
    unpack(io.BytesIO(tar((".", b"", {"type": tarfile.DIRTYPE}), ("./a", b"a", {}))), tmp_path / "new", "")
    assert (tmp_path / "new/a").read_bytes() == b"a"


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", b"x", {})],
        [("/evil", b"x", {})],
        [("other", b"x", {})],
        [("d", b"", {"type": tarfile.SYMTYPE, "linkname": ".."}), ("d/evil", b"x", {})],
        [DIRECTORY, ("d/l", b"", {"type": tarfile.SYMTYPE, "linkname": "../.."}), ("d/l/evil", b"x", {})],
        [("d", b"", {"type": tarfile.LNKTYPE, "linkname": "../secret"})],
    ],
    ids=["up", "absolute", "another name", "the target a link", "through a link", "hard link"],
)
def test_nothing_is_written_elsewhere(tmp_path: Path, members: list[tuple[str, bytes, dict[str, Any]]]) -> None:
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    (tmp_path / "home" / "secret").write_bytes(b"secret")
    with pytest.raises(Refused):
        unpack(io.BytesIO(tar(*members)), home, "d")
    assert not [path for path in tmp_path.rglob("evil") if home not in path.parents]
    assert not list(tmp_path.rglob("evil"))


def test_a_link_that_is_there_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"safe")
    (tmp_path / "hosts").symlink_to("victim")
    unpack(io.BytesIO(tar(("hosts", b"new", {}))), tmp_path, "hosts")
    assert (tmp_path / "victim").read_bytes() == b"safe"
    assert (tmp_path / "hosts").read_bytes() == b"new"


def test_half_of_it(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no whole archive"):
        unpack(io.BytesIO(tar(("hosts", b"x" * 5000, {}))[:2000]), tmp_path, "hosts")

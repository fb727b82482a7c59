"""A scene as one file: it opens anywhere, and shows when anybody has changed it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.control.exported import box_key, export, read
from minipaas.forensics.shelf import CAPSULE, FILES, LOG
from minipaas.model.errors import Invalid, Missing, Refused
from minipaas.model.typed import to_json
from tests.forensics.test_shelf import capsule

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An exported scene."""
    parts = {}
    for name, data in ((CAPSULE, to_json(capsule(1))), (LOG, b"its log\n"), (FILES, b"compressed")):
        parts[name] = tmp_path / name
        parts[name].write_bytes(data)
    out = tmp_path / "one.crash"
    with out.open("wb") as target:
        export(capsule(1), parts, box_key(tmp_path), target)
    return out


def changed(file: Path, change: Change) -> Path:
    with tarfile.open(file) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def test_it_says_the_same_elsewhere(file: Path, tmp_path: Path) -> None:
    found = read(file)
    assert found.capsule == capsule(1)
    assert found.log == "its log\n"
    assert found.key_id == box_key(tmp_path).key_id, "the key is made once"
    assert read(file, box_key(tmp_path).public) == found
    assert (tmp_path / "box.key").stat().st_mode & 0o777 == 0o600


def test_strangers_tools_open_it(file: Path) -> None:
    listed = subprocess.run(["tar", "tf", file], capture_output=True, text=True, check=True, timeout=10).stdout.split()
    assert listed == ["signature.json", "box.pub", CAPSULE, LOG, FILES]


def test_another_box_is_not_believed(file: Path) -> None:
    with pytest.raises(Refused, match="not by the one that you believe"):
        read(file, SigningKey.generate().public)


def other_key(members: dict[str, bytes]) -> None:
    members["box.pub"] = SigningKey.generate().public.pem()


def test_what_was_changed_is_refused(file: Path) -> None:
    def set_to(name: str, data: bytes) -> Change:
        return lambda members: members.update({name: data})

    whole = file.read_bytes()
    for change in (
        set_to(LOG, b"another log\n"),
        set_to(FILES, b"other files"),
        set_to(CAPSULE, to_json(capsule(2))),
        lambda members: members.pop(FILES),
        other_key,
    ):
        file.write_bytes(whole)
        with pytest.raises(Refused, match="was changed"):
            read(changed(file, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop("signature.json"),
        lambda members: members.pop("box.pub"),
        lambda members: members.pop(CAPSULE),
        lambda members: members.update({"more": b""}),
        lambda members: members.update({"box.pub": bytes(5000)}),
        lambda members: members.update({CAPSULE: b"{}"}),
    ],
)
def test_what_is_no_such_file_is_said(file: Path, change: Change) -> None:
    with pytest.raises(Invalid, match="it is not a file of"):
        read(changed(file, change))


def test_nothing_and_nonsense(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        read(tmp_path / "none.crash")
    for data in (b"", b"nonsense", bytes(10240)):
        (tmp_path / "x.crash").write_bytes(data)
        with pytest.raises(Invalid):
            read(tmp_path / "x.crash")

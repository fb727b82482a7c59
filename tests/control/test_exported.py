"""A scene as one file: it opens anywhere, and shows when anybody has changed it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

from minipaas.bundle import oci
from minipaas.bundle.keys import SigningKey
from minipaas.control.exported import CONFIG, IMAGE, box_key, layer_name, opened, public_key, read
from minipaas.control.exporting import Export
from minipaas.control.image_parts import archive
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
    return written(tmp_path / "one.crash", parts, {}, tmp_path)


def written(to: Path, parts: dict[str, Path], image: dict[str, Path | bytes], data: Path) -> Path:
    """Signed with the key of a box with this data directory."""
    with Export.opened(capsule(1), parts, image, box_key(data)) as export:
        to.write_bytes(b"".join(export.pieces()))
        assert to.stat().st_size == export.size
    return to


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
    listed = subprocess.run(["tar", "tf", file], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert listed == ["signature.json", "box.pub", CAPSULE, LOG, FILES]


def test_another_box_is_not_believed(file: Path) -> None:
    with pytest.raises(Refused, match="not by the one that you believe"):
        read(file, SigningKey.generate().public)


def with_image(tmp_path: Path, image_id: str = "") -> Path:
    """An exported scene with an image of one layer."""
    layer = oci.descriptor(oci.LAYER, b"a layer")
    config = to_json({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.digest]}})
    image: dict[str, Path | bytes] = {
        IMAGE: oci.encode(oci.image_manifest(config, (layer,))),
        CONFIG: config,
        layer_name(layer.digest): zstandard.ZstdCompressor().compress(b"a layer"),
    }
    told = replace(capsule(1), image_id=image_id or oci.digest_of(config))
    parts = {name: tmp_path / name for name in (CAPSULE, LOG)}
    parts[CAPSULE].write_bytes(to_json(told))
    parts[LOG].write_bytes(b"")
    return written(tmp_path / "whole.crash", parts, image, tmp_path)


def test_the_image_is_in_it(tmp_path: Path) -> None:
    with opened(with_image(tmp_path)) as found:
        assert found.exported.has_image
        assert found.files() is None
        image = found.image()
        assert image is not None
        assert (image.platform, image.size) == ("linux/arm64", len(b"a layer"))
        assert b"a layer" in b"".join(archive(image, "localhost/x:1"))


def test_an_image_that_the_instance_did_not_run_is_none(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not hold the image that the instance ran"):
        read(with_image(tmp_path, "sha256:" + "0" * 64))


def test_nothing_can_hide_in_the_tar(file: Path) -> None:
    whole = file.read_bytes()
    link = tarfile.TarInfo("../../etc/passwd")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    long = tarfile.TarInfo("log.txt")
    long.pax_headers = {"comment": "x" * 100_000}
    device = tarfile.TarInfo("capsule.json")
    device.type = tarfile.CHRTYPE
    for head in (link.tobuf(), long.tobuf(tarfile.PAX_FORMAT), device.tobuf(), b"\1" * 512):
        file.write_bytes(head + whole)
        with pytest.raises(Invalid, match="it is not a file of"):
            read(file)
    for data in (whole + b"more", whole + bytes(1 << 20), whole[:-600], whole + whole):
        file.write_bytes(data)
        with pytest.raises(Invalid, match="it is not a file of"):
            read(file)


def test_the_key_is_shown_when_it_is_there(tmp_path: Path) -> None:
    with pytest.raises(Missing) as caught:
        public_key(tmp_path)
    assert caught.value.code == "crash.no_key"
    assert list(tmp_path.iterdir()) == []
    made = box_key(tmp_path)
    assert public_key(tmp_path) == made.public


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

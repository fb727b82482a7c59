"""The one file taken apart: what PyInstaller packs comes out whole, and what is no such file is refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PyInstaller.archive.readers import CArchiveReader
from PyInstaller.archive.writers import CArchiveWriter

from minipaas.install.archive import unpack
from minipaas.model.errors import Invalid

ELF = b"\x7fELF" + bytes(60) + b"the start-up program" * 10


def onefile(tmp_path: Path, *more: tuple[str, bytes, bool, str], tail: bytes = b"section table" * 100) -> Path:
    """A file as the build makes it: program, archive, table of sections."""
    rows = (
        ("PYZ.pyz", b"all modules", False, "z"),
        ("libx.so.1", b"\x7fELF library", True, "b"),
        ("minipaas/schema.sql", b"CREATE TABLE t", True, "x"),
        ("libx.so", b"libx.so.1", False, "n"),
        *more,
    )
    entries = []
    for number, (name, content, packed, kind) in enumerate(rows):
        source = tmp_path / f"part-{number}"
        source.write_bytes(content)
        entries.append((name, content.decode() if kind == "n" else str(source), packed, kind))
    entries.append(("pyi-contents-directory _internal", "", False, "o"))
    archive = tmp_path / "archive"
    CArchiveWriter(str(archive), entries, "libpython3.11.so.1.0")
    made = tmp_path / "minipaas-onefile"
    made.write_bytes(ELF + archive.read_bytes() + tail)
    return made


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    unpack(onefile(tmp_path), out)
    inside = out / "_internal"
    assert (inside / "libx.so.1").read_bytes() == b"\x7fELF library"
    assert os.access(inside / "libx.so.1", os.X_OK)
    assert (inside / "minipaas/schema.sql").read_text() == "CREATE TABLE t"
    assert not os.access(inside / "minipaas/schema.sql", os.X_OK)
    assert (inside / "libx.so").readlink() == Path("libx.so.1")
    assert os.access(out / "minipaas", os.X_OK)


def test_the_program_keeps_its_modules_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    unpack(onefile(tmp_path), out)
    left = CArchiveReader(str(out / "minipaas"))
    assert set(left.toc) == {"PYZ.pyz"}
    assert left.options == ["pyi-contents-directory _internal"]
    assert left.extract("PYZ.pyz") == b"all modules"
    assert (out / "minipaas").read_bytes().startswith(ELF[:40])


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = onefile(tmp_path)
    for name in ("one", "two"):
        unpack(source, tmp_path / name)
    assert (tmp_path / "one/minipaas").read_bytes() == (tmp_path / "two/minipaas").read_bytes()


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside"])
def test_nothing_leaves_the_directory(tmp_path: Path, name: str) -> None:
    source = onefile(tmp_path, ("placeholder-name", b"evil", False, "x"))
    padded = name.encode().ljust(len("placeholder-name"), b"\0")
    source.write_bytes(source.read_bytes().replace(b"placeholder-name", padded))
    with pytest.raises(Invalid, match="which leads out of it"):
        unpack(source, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_nothing_leaves_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    source = onefile(tmp_path, ("up", b"../../outside", False, "n"), ("up/x", b"evil", False, "x"))
    with pytest.raises(Invalid, match="which leads out of it"):
        unpack(source, tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 3]


def short_archive(data: bytes) -> bytes:
    at = data.rindex(b"MEI\014")
    return data[:at] + struct.pack("!8sI", b"MEI\014\013\012\013\016", 2**31) + data[at + 12 :]


def scribbled(data: bytes) -> bytes:
    packed = zlib.compress(b"CREATE TABLE t", 9)
    assert packed in data
    return data.replace(packed, packed[:4] + bytes(len(packed) - 4))


def other_length(data: bytes) -> bytes:
    at = data.index(b"PYZ.pyz")
    return data[: at - 18] + struct.pack("!I", 3) + data[at - 14 :]


@pytest.mark.parametrize(
    "spoil", [cut, short_archive, scribbled, other_length, lambda _: b"#!/bin/sh\n", lambda _: ELF]
)
def test_what_is_no_such_file(tmp_path: Path, spoil: object) -> None:
    source = onefile(tmp_path)
    source.write_bytes(spoil(source.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Invalid, match="cannot unpack"):
        unpack(source, tmp_path / "out")

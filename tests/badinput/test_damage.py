"""Files that are damaged, are something else, or were made to do harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable

import pytest
import zstandard

from minipaas.bundle import tarball
from tests.badinput.live import LiveBox, refused
from tests.badinput.shop import fresh
from tests.bundle.forge import Member, finish, frame, frames_of, pack
from tests.bundle.test_receive import HEADERS, MEMBERS

MADE = {
    "bundle.frame",
    "bundle.tar",
    "bundle.digest",
    "bundle.size",
    "bundle.damaged",
    "bundle.layout",
    "bundle.truncated",
    "bundle.too_large",
    "bundle.seek_table",
    "bundle.member_name",
    "bundle.member_type",
    "bundle.order",
    "bundle.manifest",
}
"""Damage is noticed by whatever looks at it first."""


def _place(members: list[Member], which: str) -> tuple[bytes, int]:
    """The file, and a byte in the middle of the named part of it."""
    contents = frames_of(members)
    frames = [frame(content) for content in contents]
    starts = [sum(map(len, frames[:number])) for number in range(len(frames) + 1)]
    data = finish(list(zip(frames, map(len, contents), strict=True)))

    def data_of(found: int) -> int:
        number = next(n for n, content in enumerate(contents) if content == members[found][1])
        return starts[number] + len(frames[number]) // 2

    kinds = {name: number for number, (name, _) in enumerate(members)}
    sigstore = next(number for number, (_, blob) in enumerate(members) if b"dsseEnvelope" in blob)
    return data, {
        "magic": lambda: 0,
        "frame header": lambda: 4,
        "tar header": lambda: len(frames[0]) // 2,
        "index": lambda: data_of(kinds["index.json"]),
        "manifest": lambda: data_of(2),
        "signature": lambda: data_of(sigstore),
        "config": lambda: data_of(len(members) - 3),
        "layer": lambda: data_of(len(members) - 1),
        "end of the tar": lambda: starts[-2] + 6,
        "checksum": lambda: starts[-1] + 13,
        "seek table": lambda: len(data) - 40,
        "last byte": lambda: len(data) - 1,
    }[which]()


FLIPPED = [
    "magic",
    "frame header",
    "tar header",
    "index",
    "manifest",
    "signature",
    "config",
    "layer",
    "end of the tar",
    "checksum",
    "seek table",
    "last byte",
]


@pytest.mark.parametrize("where", FLIPPED)
def test_one_flipped_byte(box: LiveBox, where: str) -> None:
    data, place = _place(fresh().members(), where)
    bent = bytearray(data)
    bent[place] ^= 0x10
    refused(box, bytes(bent), MADE | {"bundle.not_a_bundle"})


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_too_early(box: LiveBox, kept: float) -> None:
    data = fresh().build()
    short = data[: int(len(data) * kept)]
    refused(box, short, "bundle.truncated" if short else "bundle.empty")


def _tar(mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in fresh().members():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


STRANGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "random bytes": (lambda: b"\x7f" + os.urandom(5000), "bundle.not_a_bundle"),
    "a text": (lambda: b"[app]\nname = 'shop'\n", "bundle.not_a_bundle"),
    "a gzip tar": (lambda: _tar("w:gz"), "bundle.not_a_bundle"),
    "a plain tar": (lambda: _tar("w"), "bundle.not_a_bundle"),
    "a gzip file": (lambda: gzip.compress(b"hello"), "bundle.not_a_bundle"),
    "one zstd frame around the tar": (lambda: zstandard.compress(_tar("w")), "bundle.tar"),
    "a zstd text": (lambda: zstandard.compress(b"hello"), "bundle.tar"),
    "one byte": (lambda: b"\x28", "bundle.truncated"),
    "zeros": (lambda: bytes(100_000), "bundle.not_a_bundle"),
    "bytes after the end": (lambda: fresh().build() + b"\n", "bundle.trailing"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_bundle(box: LiveBox, name: str) -> None:
    make, code = STRANGE[name]
    refused(box, make(), {code, "bundle.seek_table"} if name == "bytes after the end" else code)


# -- bombs -------------------------------------------------------------------------------------------------------------

BLOCK = 128 << 10


def _rle(said: int, blocks: int) -> bytes:
    """A frame that says `said` bytes, of run-length blocks of 128 KiB in 4 bytes each."""
    head = b"\x28\xb5\x2f\xfd\x80\x58" + said.to_bytes(4, "little")
    run, last = ((BLOCK << 3 | kind).to_bytes(3, "little") + b"\0" for kind in (2, 3))
    return head + run * (blocks - 1) + last


def _with(place: str, content: bytes, size: int) -> bytes:
    """A bundle in which the data of one member is this frame, of `size` bytes as its tar header says."""
    members = fresh().members()
    number = {"index": 1, "manifest": 2, "layer": len(members) - 1}[place]
    frames: list[tuple[bytes, int]] = []
    for index, (name, data) in enumerate(members):
        bent = index == number
        length = size if bent else len(data)
        frames.append((frame(tarball.header(name, length)), tarball.BLOCK))
        frames.append((content, size) if bent else (frame(data), len(data)))
        if padding := tarball.padding(length):
            frames.append((frame(padding), len(padding)))
    return finish([*frames, (frame(tarball.END), len(tarball.END))])


BOMBS: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "an index of 3 GiB": (lambda: _with("index", _rle(3 << 30, 24576), 3 << 30), {"bundle.too_large"}),
    "an index that says little": (lambda: _with("index", _rle(1000, 24576), 1000), {"bundle.frame"}),
    "an index that says much": (
        lambda: _with("index", b"\x28\xb5\x2f\xfd\x80\x58" + (3 << 30).to_bytes(4, "little") + b"\1\0\0", 3 << 30),
        {"bundle.too_large"},
    ),
    "a manifest of 3 GiB": (lambda: _with("manifest", _rle(3 << 30, 24576), 3 << 30), {"bundle.size"}),
    "a layer of 3 GiB": (lambda: _with("layer", _rle(3 << 30, 24576), 3 << 30), {"bundle.size"}),
    "a layer that hides 3 GiB": (lambda: _with("layer", _rle(10240, 24576), 10240), {"bundle.frame"}),
    "a window of 128 MiB": (
        lambda: _with("layer", b"\x28\xb5\x2f\xfd\x80\x88" + (10240).to_bytes(4, "little") + b"\1\0\0", 10240),
        {"bundle.frame"},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(box: LiveBox, name: str) -> None:
    make, codes = BOMBS[name]
    refused(box, make(), codes | {"bundle.seek_table"} if "window" in name else codes)


# -- the tar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "code"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_tar_headers(box: LiveBox, header: Callable[[str, int], bytes], code: str) -> None:
    contents = frames_of(fresh().members(), header)
    refused(box, finish([(frame(content), len(content)) for content in contents]), code)


@pytest.mark.parametrize(("bend", "codes"), [case[1:] for case in MEMBERS], ids=[case[0] for case in MEMBERS])
def test_members(box: LiveBox, bend: Callable[[list[Member]], list[Member]], codes: set[str]) -> None:
    refused(box, pack(bend(fresh().members())), codes)


@pytest.mark.parametrize("name", ["../../../../etc/cron.d/owned", "/etc/passwd", "blobs/sha256/../../../x"])
def test_a_path_that_leads_out_is_refused_and_followed_by_nobody(box: LiveBox, name: str) -> None:
    members = fresh().members()
    contents = frames_of(members)
    last = max(number for number, content in enumerate(contents) if content[:5] == b"blobs" and len(content) == 512)
    contents[last] = tarball.header(name, len(members[-1][1]))
    refused(box, finish([(frame(content), len(content)) for content in contents]), "bundle.member_name")

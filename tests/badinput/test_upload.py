"""Uploads that break off, stall, are too large, or find no room."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterator

import msgspec
import pytest

from minipaas.model.config import Config
from minipaas.model.units import Duration, Size
from tests.badinput.conftest import trust
from tests.badinput.live import BUNDLES, LiveBox, program, refused, told
from tests.badinput.shop import forge, fresh
from tests.boxes import config
from tests.bundle.builders import make_image, tar_layer
from tests.fakepodman.server import FakePodman


@dataclasses.dataclass
class Limited:
    """A configuration with other limits."""

    limits: dict[str, object]

    def __call__(self, fake: FakePodman) -> Config:
        base = config(fake)
        return msgspec.structs.replace(base, limits=msgspec.structs.replace(base.limits, **self.limits))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    """It takes 64 KiB, and no pause longer than two seconds; `shop` 1.0 serves."""
    limits = Limited({"bundle": Size(64 * 1024), "silence": Duration(2)})
    with LiveBox(tmp_path_factory.mktemp("narrow"), limits) as one:
        trust(one)
        assert one.deploy(forge(version="1.0", sequence=100).build())["state"] == "done"
        yield one


def raw(box: LiveBox, head: str, *parts: bytes, end: bool = False) -> tuple[int, dict[str, str]]:
    """Send the beginning of an upload by hand; the answer that comes although it has not ended."""
    with box.plug() as wire:
        wire.sendall(f"PUT {BUNDLES} HTTP/1.1\r\nHost: box\r\n{head}\r\n".encode())
        try:
            for part in parts:
                wire.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before all of it was out
        if end:
            wire.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
            piece = wire.recv(65536)
            assert piece, answer
            answer += piece
    lines, _, body = answer.partition(b"\r\n\r\n")
    return int(lines.split()[1]), json.loads(body)["error"]


def _length(answer: bytes) -> int:
    head = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length:"))


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STALLS = {
    "before the first byte": lambda data: b"",
    "in the metadata": lambda data: data[:900],
    "in a layer": lambda data: data[:-3000],
    "before the last byte": lambda data: data[:-1],
}


@pytest.mark.parametrize("where", STALLS)
def test_an_upload_that_stalls(narrow: LiveBox, where: str) -> None:
    data = fresh().build()
    with narrow.unchanged():
        status, error = raw(narrow, f"Content-Length: {len(data)}\r\n", STALLS[where](data))
        assert (status, error["kind"], error["code"]) == (408, "deadline", "upload.silent")
        assert error["message"] == "cannot accept the bundle: its sender went silent for 2s"
        assert error["hint"]
        assert narrow.audit()[0]["result"] == f"failed: upload.silent: {error['message']}"


@pytest.mark.parametrize("where", [where for where in STALLS if where != "before the first byte"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_that_is_cut(narrow: LiveBox, where: str, chunked: bool) -> None:
    data = fresh().build()
    part = STALLS[where](data)
    with narrow.unchanged():
        before = narrow.audit()[0]["id"]
        with narrow.plug() as wire:
            head = "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(data)}\r\n"
            wire.sendall(f"PUT {BUNDLES} HTTP/1.1\r\nHost: box\r\n{head}\r\n".encode())
            wire.sendall(chunk(part) if chunked else part)
        row = narrow.until(lambda: next((row for row in narrow.audit() if row["id"] > before), None))
        assert row["result"].startswith("refused: upload.cut: cannot accept the bundle: the upload was ")


def test_an_upload_that_says_it_is_too_large_is_refused_before_its_bulk(narrow: LiveBox) -> None:
    with narrow.unchanged():
        status, error = raw(narrow, "Content-Length: 65537\r\nExpect: 100-continue\r\n")
        assert (status, error["kind"], error["code"]) == (413, "refused", "upload.too_large")
        assert error["message"] == "cannot accept the bundle: it is larger than 64.0 KiB"
        assert error["hint"] == "raise limits.bundle in config.toml"
        assert "upload.too_large" in narrow.audit()[0]["result"]


def test_an_upload_that_does_not_say_how_large_it_is(narrow: LiveBox) -> None:
    big = forge(images={"web": make_image(tar_layer({"big": bytes(range(256)) * 2}), _noise(200_000))}).build()
    with narrow.unchanged():
        pieces = [chunk(big[start : start + 10_000]) for start in range(0, len(big), 10_000)]
        status, error = raw(narrow, "Transfer-Encoding: chunked\r\n", *pieces)
        assert (status, error["code"]) == (413, "upload.too_large")
        file = narrow.directory / "big.bundle"
        file.write_bytes(big)
        told(narrow.cli("deploy", file), 3, "it is larger than 64.0 KiB", "raise limits.bundle")


def _noise(size: int) -> bytes:
    import random

    return tar_layer({"noise": random.Random(5).randbytes(size)})


def test_an_upload_that_is_slower_than_its_time_allows(tmp_path) -> None:
    with LiveBox(tmp_path, Limited({"upload": Duration(0.7), "silence": Duration(30)})) as slow:
        trust(slow)
        data = fresh().build()
        with slow.unchanged():
            status, error = raw(slow, f"Content-Length: {len(data)}\r\n", data[:5000])
            assert (status, error["kind"], error["code"]) == (408, "deadline", "upload.slow")
            assert error["message"] == "cannot accept the bundle: it was not here within 700ms"


def test_a_disk_that_is_too_small(tmp_path) -> None:
    with LiveBox(tmp_path, Limited({"reserve": Size(1 << 60)})) as small:
        trust(small)
        answer = refused(
            small,
            fresh().build(),
            "disk.small",
            "cannot accept shop 3.0: it needs 1048576.0 TiB of disk and",
            "are free",
            kind="no_space",
            status=507,
            exit_code=1,
        )
        assert "minipaas remove APP" in answer.json["error"]["hint"]


def test_a_box_that_trusts_nobody(tmp_path) -> None:
    with LiveBox(tmp_path) as new:
        file = tmp_path / "shop.bundle"
        file.write_bytes(fresh().build())
        answer = new.put(file.read_bytes())
        assert (answer.status, answer.kind, answer.code) == (422, "refused", "root.none")
        said = new.cli("deploy", file)
        told(said, 3, "cannot accept a bundle: this box trusts nobody yet")
        assert said.hint == "give it the author's root: minipaas trust add root.json"
        assert [row["result"] for row in new.audit()] == [f"refused: root.none: {answer.message}"] * 2
        assert not [file for file in (new.data / "blobs").rglob("*") if file.is_file()]
        assert new.fake.containers == {}


def test_a_file_that_is_not_there(box: LiveBox) -> None:
    told(box.cli("deploy", "/nonexistent/shop.bundle"), 2, "does not exist")


def test_the_command_line_is_the_same_in_a_process_of_its_own(box: LiveBox, tmp_path) -> None:
    file = tmp_path / "bad.bundle"
    file.write_bytes(b"hello")
    inside, outside = box.cli("deploy", file), program("deploy", file, "--to", box.to)
    assert outside == inside
    assert (outside.code, outside.out) == (3, "")
    assert outside.err == (f"cannot accept {file}: it is not a bundle\n→ give a file made by `minipaas bundle build`\n")
    nobody = program("deploy", file)
    told(nobody, 3, "it is not a bundle")
    told(program("status"), 5, "cannot reach the box: there is no socket /nonexistent/minipaas.sock")
    told(program("status", "nothing", "--to", box.to), 4, "nothing")
    told(program("status", "shop", "--tail"), 2, "No such option")

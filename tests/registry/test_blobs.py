"""The blob store: content comes back as it went in, damage is found, collection takes what nobody needs and no more."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
import zstandard

from minipaas.model.errors import Invalid, MinipaasError, Missing
from minipaas.registry.blobs import BlobStore
from tests.registry.made import digest, put_blob

SAMPLES = [b"", b"x", b"hello" * 1000, os.urandom(300_000), b"\0" * 5_000_000]


@pytest.mark.parametrize("content", SAMPLES, ids=lambda content: str(len(content)))
def test_content_comes_back_as_it_went_in(store: BlobStore, content: bytes) -> None:
    name = put_blob(store, content)
    assert store.has(name)
    with store.open(name) as stream:
        assert stream.read() == content
        assert stream.read() == b""
    assert store.content_size(name) == len(content)
    assert store.stored_size(name) == store.compressed(name).stat().st_size
    assert zstandard.decompress(store.compressed(name).read_bytes()) == content
    assert store.verify(name)


def test_content_can_be_read_in_small_pieces_by_several_at_once(store: BlobStore) -> None:
    content = os.urandom(100_000) * 5
    name = put_blob(store, content)
    with store.open(name) as one, store.open(name) as two:
        pieces = [stream.read(7_001) for _ in range(80) for stream in (one, two)]
    assert b"".join(pieces[::2]) == content
    assert b"".join(pieces[1::2]) == content


def test_what_is_not_here_is_missing(store: BlobStore) -> None:
    here, gone = put_blob(store, b"here"), digest("gone")
    assert store.missing([gone, here, digest("more")]) == [gone, digest("more")]
    for call in (store.open, store.content_size, store.stored_size, store.verify):
        with pytest.raises(Missing) as caught:
            call(gone)
        assert caught.value.code == "blob.missing"


@pytest.mark.parametrize(
    "name",
    ["", "sha256:", "sha256:../../etc/passwd", "sha512:" + "0" * 64, "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n"],
)
def test_only_digests_are_looked_up(store: BlobStore, name: str) -> None:
    for call in (store.has, store.open, store.compressed, store.stage().has):
        with pytest.raises(Invalid):
            call(name)
    with pytest.raises(Invalid), store.stage() as staging:
        staging.create(name, 1)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def other(path: Path) -> None:
    path.write_bytes(zstandard.compress(os.urandom(200_000)))


def no_size(path: Path) -> None:
    path.write_bytes(zstandard.ZstdCompressor(write_content_size=False).compress(b"x"))


@pytest.mark.parametrize("harm", [cut, empty, flip, other, no_size])
def test_a_damaged_blob_is_found_and_can_be_sent_again(store: BlobStore, harm: object) -> None:
    content = os.urandom(200_000)
    name = put_blob(store, content)
    harm(store.compressed(name))  # type: ignore[operator]
    assert not store.verify(name)
    assert not store.has(name)
    assert put_blob(store, content) == name
    assert store.open(name).read() == content


@pytest.mark.parametrize("harm", [cut, empty, no_size])
def test_reading_a_blob_that_was_cut_never_ends_early_in_silence(store: BlobStore, harm: object) -> None:
    name = put_blob(store, os.urandom(200_000))
    harm(store.compressed(name))  # type: ignore[operator]
    with pytest.raises(MinipaasError) as caught:
        store.open(name).read()
    assert caught.value.code == "blob.damaged"


def test_a_blob_that_is_here_is_not_replaced(store: BlobStore) -> None:
    name = put_blob(store, b"first")
    before = store.compressed(name).stat()
    put_blob(store, b"first")
    after = store.compressed(name).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


# -- collection --------------------------------------------------------------------------------------------------------


def settle(store: BlobStore) -> None:
    """A collection that keeps all: what was published before is no longer new."""
    store.sweep([f"sha256:{path.name[:64]}" for path in store.compressed(digest("")).parents[1].rglob("*.zst")])


def test_a_sweep_takes_what_nobody_needs(store: BlobStore) -> None:
    keep, drop = put_blob(store, b"keep"), put_blob(store, os.urandom(100_000))
    settle(store)
    used = store.used_bytes()
    freed = store.sweep({keep})
    assert freed >= 100_000
    assert (store.has(keep), store.has(drop)) == (True, False)
    assert store.used_bytes() == used - freed
    assert store.sweep({keep}) == 0


def test_a_sweep_takes_damaged_blobs_too(store: BlobStore) -> None:
    name = put_blob(store, os.urandom(100_000))
    settle(store)
    cut(store.compressed(name))
    assert not store.verify(name)
    assert store.sweep(set()) >= 90_000
    assert store.used_bytes() == 0


def test_a_sweep_spares_what_an_upload_under_way_found_or_brought(store: BlobStore) -> None:
    found, drop, brought = put_blob(store, b"found"), put_blob(store, b"drop"), digest("brought")
    settle(store)
    with store.stage() as staging:
        assert staging.has(found)
        blob = staging.create(brought, 7)
        blob.write(zstandard.compress(b"brought"))
        store.sweep(set())
        assert (store.has(found), store.has(drop)) == (True, False)
        blob.commit()
        staging.publish()
        store.sweep(set())
        assert store.has(brought)
    # Accepted between the look at the registry and this sweep: `keep` does not know of it yet.
    store.sweep(set())
    assert store.missing([found, brought]) == []
    # The next look knows; if it still does not want them, they go.
    store.sweep(set())
    assert store.missing([found, brought]) == [found, brought]


def test_an_upload_that_failed_protects_nothing_any_more(store: BlobStore) -> None:
    found = put_blob(store, b"found")
    settle(store)
    with store.stage() as staging:
        assert staging.has(found)
    store.sweep(set())
    assert not store.has(found)


def test_sweeps_and_uploads_at_once_never_lose_a_blob_that_was_promised(store: BlobStore) -> None:
    content = os.urandom(2_000)
    name = "sha256:" + hashlib.sha256(content).hexdigest()
    stop = threading.Event()
    broken: list[str] = []

    def upload() -> None:
        for _ in range(150):
            with store.stage() as staging:
                if not staging.has(name):
                    blob = staging.create(name, len(content))
                    blob.write(zstandard.compress(content))
                    blob.commit()
                staging.publish()
                if not store.has(name):
                    broken.append("lost")

    def sweep() -> None:
        while not stop.is_set():
            store.sweep(set())

    sweeper = threading.Thread(target=sweep)
    uploads = [threading.Thread(target=upload) for _ in range(2)]
    sweeper.start()
    for thread in uploads:
        thread.start()
    for thread in uploads:
        thread.join()
    stop.set()
    sweeper.join()
    assert broken == []


def test_free_bytes_are_those_of_the_stores_disk(store: BlobStore, tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    assert 0 < store.free_bytes() <= stat.f_blocks * stat.f_frsize


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    with pytest.raises(MinipaasError, match="cannot open the blob store"):
        BlobStore(tmp_path / "data")

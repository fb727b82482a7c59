"""Uploads: invisible until published, whole or not at all, nothing left after a failure or a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from minipaas.model.errors import MinipaasError
from minipaas.registry.blobs import BlobStore
from minipaas.registry.staging import Staging
from tests.registry.made import digest, put_blob


def stage(staging: Staging, content: str) -> str:
    name = digest(content)
    blob = staging.create(name, len(content))
    for byte in zstandard.compress(content.encode()):
        blob.write(bytes([byte]))
    blob.commit()
    return name


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_nothing_is_visible_before_it_is_published(store: BlobStore, tmp_path: Path) -> None:
    with store.stage() as staging:
        names = [stage(staging, "one"), stage(staging, "two")]
        assert [staging.has(name) for name in names] == [True, True]
        assert store.missing(names) == names
        staging.publish()
        assert store.missing(names) == []
    assert [store.open(name).read() for name in names] == [b"one", b"two"]
    assert files(tmp_path / "data" / "staging") == []


def test_an_upload_that_fails_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    kept = put_blob(store, b"kept")
    before = files(tmp_path)
    with pytest.raises(RuntimeError), store.stage() as staging:
        stage(staging, "whole")
        staging.create(digest("half"), 4).write(b"\x28\xb5")
        raise RuntimeError("the digest was wrong")
    assert files(tmp_path) == before
    assert store.open(kept).read() == b"kept"


def test_an_aborted_blob_is_not_published_and_can_be_begun_again(store: BlobStore) -> None:
    with store.stage() as staging:
        blob = staging.create(digest("again"), 5)
        blob.write(b"rubbish")
        blob.abort()
        assert not staging.has(digest("again"))
        stage(staging, "again")
        half = staging.create(digest("half"), 4)
        half.write(b"\x28")
        staging.publish()
        assert not store.has(digest("half"))
    assert store.open(digest("again")).read() == b"again"
    assert not store.has(digest("half"))


def test_two_uploads_of_one_blob_do_not_disturb_each_other(store: BlobStore) -> None:
    with store.stage() as one, store.stage() as two:
        name = stage(one, "shared")
        assert stage(two, "shared") == name
        one.publish()
        two.publish()
    assert store.open(name).read() == b"shared"


def test_what_could_not_be_published_whole_is_published_later(store: BlobStore) -> None:
    with store.stage() as staging:
        names = [stage(staging, "one"), stage(staging, "two")]
        in_the_way = store.compressed(names[1]).parent
        in_the_way.write_text("no directory")
        with pytest.raises(MinipaasError):
            staging.publish()
        in_the_way.unlink()
        staging.publish()
    assert [store.open(name).read() for name in names] == [b"one", b"two"]


def test_what_a_killed_minipaas_left_is_cleared_at_start(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from minipaas.registry.blobs import BlobStore\n"
        "from tests.registry.made import put_blob\n"
        "from tests.registry.test_staging import stage\n"
        "store = BlobStore(Path(sys.argv[1])); put_blob(store, b'kept')\n"
        "staging = store.stage(); stage(staging, 'left'); half = staging.create('sha256:' + '0' * 64, 9)\n"
        "half.write(b'half'); print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == b"ready\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stdin.close()
    assert len(files(tmp_path / "staging")) == 2
    (tmp_path / "staging" / "stray file").write_bytes(b"")

    store = BlobStore(tmp_path)
    running = store.stage()
    assert store.clear_staging() == 2
    assert store.clear_staging() == 0
    stage(running, "running")
    running.publish()
    running.close()
    assert store.open(digest("running")).read() == b"running"
    assert store.open(digest("kept")).read() == b"kept"
    assert not store.has(digest("left"))
    assert files(tmp_path / "staging") == []


def test_closing_twice_does_nothing(store: BlobStore) -> None:
    staging = store.stage()
    staging.close()
    staging.close()

"""Ballast: space that is really taken, really given back, and never taken where there is little."""

from __future__ import annotations

import shutil
from pathlib import Path

from minipaas.registry.ballast import Ballast
from minipaas.registry.blobs import BlobStore

SIZE = 3 * 1024 * 1024


def test_the_space_is_taken_and_given_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "data" / "ballast", SIZE)
    assert not ballast.held
    assert not ballast.release()
    assert ballast.restore()
    assert ballast.held
    assert ballast.path.stat().st_blocks * 512 >= SIZE
    assert ballast.restore()

    with ballast.path.open("rb"):  # somebody looks at it
        assert ballast.release()
    assert not ballast.path.exists()
    assert not ballast.release()
    assert ballast.restore()


def test_it_is_found_again_after_a_restart(tmp_path: Path) -> None:
    assert Ballast(tmp_path / "ballast", SIZE).restore()
    again = Ballast(tmp_path / "ballast", SIZE)
    assert again.held
    assert again.release()


def test_a_disk_without_plenty_is_left_alone(tmp_path: Path) -> None:
    most = shutil.disk_usage(tmp_path).free
    ballast = Ballast(tmp_path / "ballast", most // 2)
    assert not ballast.restore()
    assert list(tmp_path.iterdir()) == []


def test_the_store_can_do_without(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, ballast=0)
    assert not store.restore_ballast()
    assert not store.release_ballast()

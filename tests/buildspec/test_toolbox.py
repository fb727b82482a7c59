"""The toolbox image that minipaas brings along."""

from __future__ import annotations

import json
from pathlib import Path

import toolbox

from minipaas.forensics.toolbox import LAYOUT


def test_the_same_busybox_gives_the_same_bytes(tmp_path: Path) -> None:
    toolbox.build(tmp_path / "one")
    files = {
        path.relative_to(tmp_path / "one"): path.read_bytes()
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    }
    assert files == {path.relative_to(LAYOUT): path.read_bytes() for path in LAYOUT.rglob("*") if path.is_file()}
    assert sum(map(len, files.values())) < 2_000_000


def test_it_is_a_layout_of_one_image(tmp_path: Path) -> None:
    toolbox.build(tmp_path / "one")
    (entry,) = json.loads((tmp_path / "one/index.json").read_text())["manifests"]
    manifest = json.loads((tmp_path / "one/blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_text())
    for part in (manifest["config"], *manifest["layers"]):
        assert (tmp_path / "one/blobs/sha256" / part["digest"].removeprefix("sha256:")).stat().st_size == part["size"]

"""The final file system view over layers with whiteouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from minipaas.author.layers import FileView
from tests.author.made import Content, layer_files

CASES: list[tuple[str, list[Mapping[str, Content]], dict[str, bytes]]] = [
    ("one layer", [{"a/x": b"1"}], {"a/x": b"1"}),
    ("names with ./ and /", [{"./a/x": b"1", "/b/x": b"2"}], {"a/x": b"1", "b/x": b"2"}),
    ("the highest layer wins", [{"a/x": b"1"}, {"a/x": b"2"}], {"a/x": b"2"}),
    ("a whiteout removes a file", [{"a/x": b"1", "b/x": b"2"}, {"a/.wh.x": b""}], {"b/x": b"2"}),
    ("a whiteout removes a directory", [{"a/b/x": b"1", "ab/x": b"2"}, {".wh.a": b""}], {"ab/x": b"2"}),
    ("a whiteout spares its own layer", [{"a/x": b"1"}, {"a/x": b"2", "a/.wh.x": b""}], {"a/x": b"2"}),
    ("a file comes back after a whiteout", [{"x": b"1"}, {".wh.x": b""}, {"x": b"3"}], {"x": b"3"}),
    ("opaque hides lower content", [{"a/b/x": b"1", "x": b"0"}, {"a/.wh..wh..opq": b""}], {"x": b"0"}),
    ("opaque spares its own layer", [{"a/x": b"1"}, {"a/c/x": b"2", "a/.wh..wh..opq": b""}], {"a/c/x": b"2"}),
    ("a file hides a lower directory", [{"a/x": b"1"}, {"a": b"file"}], {}),
    ("a directory does not hide a lower one", [{"a": None, "a/x": b"1"}, {"a": None}], {"a/x": b"1"}),
    ("a directory replaces a file", [{"x": b"1"}, {"x": None}], {}),
    ("unwanted files are left out", [{"a/y": b"1", "a/x": b"2"}], {"a/x": b"2"}),
    ("a hard link to an unwanted file", [{"cache/1": b"data", "a/x": "cache/1"}], {"a/x": b"data"}),
    ("the last of two entries counts", [{"./x": b"1", "x": b"2"}], {"x": b"2"}),
    ("an empty file", [{"x": b""}], {"x": b""}),
]


@pytest.mark.parametrize(("layers", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_final_view(tmp_path: Path, layers: list[Mapping[str, Content]], expected: dict[str, bytes]) -> None:
    view = FileView(layer_files(tmp_path, *layers), lambda path: path.rpartition("/")[2] == "x")
    assert {path: view.read(path) for path in view.paths()} == expected
    assert all(view.size(path) == len(data) for path, data in expected.items())

"""The framing of Podman's log answers."""

from __future__ import annotations

import pytest

from minipaas.engine.logs import tail, text_lines
from tests.fakepodman.server import frame

CASES = [
    ("lines", [(1, b"one\n"), (2, b"two\n")], ["one", "two"]),
    ("a line in pieces", [(1, b"on"), (1, b"e\n"), (1, b"two\n")], ["one", "two"]),
    ("streams do not mix", [(1, b"on"), (2, b"err\n"), (1, b"e\n")], ["err", "one"]),
    ("no newline at the end", [(1, b"one\n"), (1, b"two")], ["one", "two"]),
    ("two in a frame", [(1, b"one\ntwo\n")], ["one", "two"]),
    ("empty lines", [(1, b"\n"), (1, b"x\n")], ["", "x"]),
    ("carriage returns", [(1, b"one\r\n")], ["one"]),
    ("not UTF-8", [(1, b"\xff\n")], ["\ufffd"]),
    ("nothing", [], []),
]


@pytest.mark.parametrize(("what", "frames", "lines"), CASES, ids=[case[0] for case in CASES])
def test_frames_as_lines(what: str, frames: list[tuple[int, bytes]], lines: list[str]) -> None:
    assert text_lines(b"".join(frame(stream, payload) for stream, payload in frames)) == lines


def test_a_cut_off_answer_gives_what_is_there() -> None:
    data = frame(1, b"one\n") + frame(1, b"two and more\n")
    assert text_lines(data[:-6]) == ["one", "two and"]
    assert text_lines(data[: len(frame(1, b"one\n")) + 3]) == ["one"]


def test_tails_are_bounded_in_lines_and_bytes() -> None:
    assert tail(["a", "b", "c"], 2, 100) == "b\nc"
    long = tail(["ä" * 3000], 20, 4096)
    assert len(long.encode()) <= 4096
    assert long.endswith("ä")
    assert tail([], 20, 100) == ""

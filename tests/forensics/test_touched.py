"""Marks of those who were inside."""

from __future__ import annotations

from pathlib import Path

from minipaas.forensics.touched import Touch, Touched

TOUCH = Touch(by="eve", how="shell", at=1.0)


async def test_a_mark_outlives_minipaas_and_ends_with_its_container(tmp_path: Path) -> None:
    marks = Touched(tmp_path / "access" / "touched.json")
    await marks.mark("a", TOUCH, ["a", "b"])
    await marks.mark("b", TOUCH, ["a", "b"])
    again = Touched(tmp_path / "access" / "touched.json")
    assert (again.of("a"), again.of("b"), again.of("c")) == (TOUCH, TOUCH, None)
    await again.mark("c", TOUCH, ["b", "c"])
    assert (again.of("a"), again.of("b")) == (None, TOUCH)


async def test_a_damaged_file_marks_nobody(tmp_path: Path) -> None:
    (tmp_path / "touched.json").write_bytes(b"{")
    marks = Touched(tmp_path / "touched.json")
    assert marks.of("a") is None
    await marks.mark("a", TOUCH, [])
    assert Touched(tmp_path / "touched.json").of("a") == TOUCH

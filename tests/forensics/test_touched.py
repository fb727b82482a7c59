"""Marks of those who were inside."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

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


async def test_nothing_changed_is_said_only_after_a_look(tmp_path: Path) -> None:
    marks = Touched(tmp_path / "touched.json")
    await marks.seen("a", 3)
    assert marks.of("a") is None, "nobody was in it"
    await marks.mark("a", TOUCH, [])
    await marks.seen("a", 0)
    assert marks.of("a") == replace(TOUCH, changed=0)
    await marks.mark("a", TOUCH, [])
    assert marks.of("a") == TOUCH, "who is inside may change what had not been changed"
    await marks.seen("a", 2)
    await marks.mark("a", replace(TOUCH, by="ann"), [])
    again = Touched(tmp_path / "touched.json").of("a")
    assert again == replace(TOUCH, by="ann", changed=2)
    assert again.written


async def test_files_that_were_copied_in_are_not_forgotten(tmp_path: Path) -> None:
    marks = Touched(tmp_path / "touched.json")
    await marks.mark("a", replace(TOUCH, how="copy", copied=True), [])
    await marks.mark("a", TOUCH, [])
    await marks.seen("a", 0)
    touch = marks.of("a")
    assert touch is not None
    assert touch.written

"""What is known of the last hand-over survives what happens to its file, and other versions that write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minipaas.model.errors import MinipaasError
from minipaas.takeover.record import NAME, Kind, Record, Return, State, Story


def begun(tmp_path: Path, **more: object) -> Story:
    story = Story(tmp_path)
    story.begin(Record(kind=Kind.UPGRADE, actor="ann", origin="here", began=1.0, to_version="2.0.0", **more))  # type: ignore[arg-type]
    return story


def test_steps_and_ends_are_there_for_whoever_reads_next(tmp_path: Path) -> None:
    story = begun(tmp_path, trial=60.0)
    with story.step("look") as step:
        step.detail = "well"
    with pytest.raises(MinipaasError), story.step("leap"):
        raise MinipaasError("cannot leap: it is too far")
    story.end(State.TRIAL)
    story.end(State.RETURNED, "it fell", ["ouch"])
    seen = Story(tmp_path).load()
    assert seen is not None
    assert [(step.title, step.ok, step.detail) for step in seen.steps] == [
        ("look", True, "well"),
        ("leap", False, "cannot leap: it is too far"),
    ]
    assert (seen.state, seen.reason, seen.last_lines) == (State.RETURNED, "it fell", ["ouch"])
    assert [entry.result for entry in seen.entries] == ["serves; on trial for 60 s", "went back to : it fell"]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_rows_that_were_not_told_yet_go_on_to_the_next(tmp_path: Path) -> None:
    story = begun(tmp_path)
    with story.edit() as record:
        record.note("first")
        record.note("second")
        record.told = 1
    begun(tmp_path)
    seen = story.load()
    assert seen is not None
    assert (seen.id, [entry.result for entry in seen.entries], seen.told) == (2, ["second"], 0)


def test_a_return_is_told_until_an_upgrade_holds(tmp_path: Path) -> None:
    story = begun(tmp_path, from_version="1.0.0", to_program="2.0.0-ab")
    story.end(State.RETURNED, "it fell\nits last words")
    told = told_of(story)
    assert told is not None
    assert (told.to_version, told.serves, told.reason) == ("2.0.0", "1.0.0", "it fell")
    begun(tmp_path, from_version="1.0.0")
    assert told_of(story) is None, "while the next one is put in"
    story.end(State.FAILED, "cannot upgrade: the signature is wrong")
    assert told_of(story) == told, "a bundle that was refused holds nothing"
    begun(tmp_path, from_version="1.0.0", to_program="2.1.0-cd")
    story.end(State.TRIAL)
    assert told_of(story) is None
    story.end(State.DONE)
    assert told_of(story) is None


def test_a_version_that_was_never_ready_is_told_of_until_somebody_has_seen_it(tmp_path: Path) -> None:
    story = begun(tmp_path, from_version="1.0.0", to_program="2.0.0-ab")
    assert not story.seen()
    story.end(State.FAILED, "it was not ready within 60 s")
    told = told_of(story)
    assert told is not None
    assert told.reason == "it was not ready within 60 s"
    assert story.seen()
    assert told_of(story) is None
    assert not story.seen()


def told_of(story: Story) -> Return | None:
    record = story.load()
    assert record is not None
    return record.unseen


DAMAGE = {
    "torn": lambda text: text[: len(text) // 2],
    "empty": lambda text: b"",
    "no text": lambda text: b"\xff\xfe" + text,
    "another thing": lambda text: b"[1, 2]",
    "an unknown state": lambda text: text.replace(b'"working"', b'"dreaming"'),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_as_if_there_was_none(tmp_path: Path, case: str) -> None:
    story = begun(tmp_path)
    story.path.write_bytes(DAMAGE[case](story.path.read_bytes()))
    assert story.load() is None
    with pytest.raises(MinipaasError, match="is gone or damaged") as refused, story.edit():
        pass
    assert refused.value.code == "self.record"
    begun(tmp_path)
    assert story.load() is not None, "the next hand-over begins a new one"


def test_what_a_newer_version_has_written_more_is_passed_over(tmp_path: Path) -> None:
    story = begun(tmp_path)
    text = json.loads(story.path.read_bytes())
    story.path.write_text(json.dumps(text | {"moon": "full", "steps": [{"title": "a", "started": 1.0, "tide": 3}]}))
    seen = story.load()
    assert seen is not None
    assert (seen.to_version, [step.title for step in seen.steps]) == ("2.0.0", ["a"])


def test_a_disk_that_does_not_take_it_keeps_what_was_there(tmp_path: Path) -> None:
    story = begun(tmp_path)
    (tmp_path / f"{NAME}.new").mkdir()
    with pytest.raises(MinipaasError, match="cannot write") as refused:
        story.end(State.DONE)
    assert refused.value.code == "self.record"
    seen = story.load()
    assert seen is not None
    assert seen.state is State.WORKING

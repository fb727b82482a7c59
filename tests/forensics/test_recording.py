"""Recordings: bounded, and never in the way."""

from __future__ import annotations

from pathlib import Path

from minipaas.forensics import limits
from minipaas.forensics.recording import Recording
from tests.forensics.made import lease


def test_it_ends_when_it_is_too_long(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "x.cast", lease(16))
    recording.begin(80, 24, "sh")
    piece = b"x" * 1024 * 1024
    for _ in range(limits.RECORDING // len(piece) + 3):
        recording.output(piece)
    recording.close()
    written = (tmp_path / "x.cast").read_bytes()
    assert len(written) <= limits.RECORDING + 1000
    assert b"the recording ends here" in written.splitlines()[-1]


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "nowhere" / "x.cast", lease(16))
    recording.begin(80, 24, "sh")
    recording.output(b"hello")
    recording.close()
    recording.output(b"more")
    assert not (tmp_path / "nowhere").exists()


def test_nothing_is_kept_of_what_has_not_begun(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "x.cast", lease(16))
    recording.output(b"hello")
    recording.close()
    assert not (tmp_path / "x.cast").exists()

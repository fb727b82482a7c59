"""From files into segments: nothing lost, nothing twice, whatever happens in between."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from minipaas.model.logs import Source, Stream, Wanted
from minipaas.telemetry import limits
from minipaas.telemetry.logs.intake import Bounds, Intake
from minipaas.telemetry.logs.reading import Reading
from minipaas.telemetry.logs.shelf import segments
from tests.telemetry.logs.conmon import START, Conmon, source

MIB = 1024**2
FREE = Bounds(quota=64 * MIB, keep=1e9, rate=0)


class Box:
    """An intake that can be killed, and what it keeps."""

    def __init__(self, directory: Path, bounds: Bounds = FREE) -> None:
        self.directory = directory
        self.bounds = bounds
        self.seconds = 0.0
        self.now = START
        self.wanted: dict[str, tuple[Source, str]] = {}
        self.intake = self._begin()

    def _begin(self) -> Intake:
        return Intake(self.directory / "logs", self.bounds, lambda: self.now, lambda: self.seconds)

    def follow(self, one: Source, conmon: Conmon) -> None:
        self.wanted[one.container] = (one, str(conmon.path))
        self.intake.follow(self.wanted)

    def round(self, *, force: bool = False) -> int:
        self.intake.follow(self.wanted)
        return self.intake.round(force=force).stored

    def kill(self) -> None:
        """As SIGKILL does: nothing is stored any more."""
        for tail in self.intake.tails.values():
            tail.close()
        self.intake = self._begin()

    def lines(self, wanted: Wanted | None = None, most: int = 1_000_000, app: str = "shop") -> list[str]:
        tails = [tail for tail in self.intake.tails.values() if tail.source.app == app]
        found = Reading(self.directory / "logs" / app, tails).newest(wanted or Wanted(), most)
        return [line.text.decode() for line in found.lines]

    def size(self, app: str = "shop") -> int:
        return sum(one.stat().st_size for one in (self.directory / "logs" / app).iterdir())


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def numbered(begin: int, end: int) -> list[str]:
    return [f"line {number} of many" for number in range(begin, end)]


def test_what_is_not_stored_yet_is_found_as_what_is(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write(*numbered(0, 10))
    assert box.round() == 0
    assert box.lines() == numbered(0, 10)
    assert box.round(force=True) > 0
    conmon.write(*numbered(10, 20))
    assert box.lines() == numbered(0, 20)
    assert box.lines(most=5) == numbered(15, 20)


def test_what_waits_is_stored_in_the_end(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write("a line")
    assert box.round() == 0
    box.seconds += limits.LOG_AGE
    assert box.round() > 0


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_time_nothing_is_lost_or_doubled(box: Box, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    conmon = Conmon(tmp_path / "ctr.log", most=300_000)
    box.follow(source(), conmon)
    written = 0
    for _ in range(60):
        count = chance.randrange(1, 900)
        conmon.write(*numbered(written, written + count))
        written += count
        box.round(force=chance.random() < 0.2)
        if chance.random() < 0.3:
            box.kill()
            box.round()
    assert box.lines() == numbered(0, written)
    assert not [one for one in box.lines() if "missing" in one]


def test_rotated_while_it_was_away_is_said(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write("before")
    box.round(force=True)
    box.kill()
    conmon.write("lost")
    conmon.rotate()
    conmon.write("after")
    box.now = conmon.now - 1
    box.round()
    box.round(force=True)
    first, remark, last = box.lines()
    assert (first, last) == ("before", "after")
    assert "rotated while minipaas did not run" in remark


def test_a_removed_container_is_read_to_its_end_and_found_afterwards(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write("first")
    box.round()
    conmon.write("last words")
    conmon.path.unlink()
    box.wanted.clear()
    box.round()
    assert not box.intake.tails
    assert box.lines(Wanted(text="last wo")) == ["last words"]


def test_after_a_power_cut_the_file_may_be_shorter(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write(*numbered(0, 10))
    box.round(force=True)
    box.kill()
    size = conmon.path.stat().st_size
    with conmon.path.open("r+b") as file:
        file.truncate(size // 2)
    conmon.write(*numbered(10, 12))
    box.round()
    assert [one for one in box.lines() if one in numbered(10, 12)] == numbered(10, 12)
    assert [one for one in box.lines() if one in numbered(0, 10)] == numbered(0, 10)


def test_who_writes_too_much_is_held_to_its_rate_and_the_rest_is_counted(tmp_path: Path) -> None:
    box = Box(tmp_path, Bounds(quota=64 * MIB, keep=1e9, rate=20_000))
    loud, quiet = Conmon(tmp_path / "loud.log"), Conmon(tmp_path / "quiet.log")
    box.follow(source("loud", service="loud"), loud)
    box.follow(source("quiet", service="quiet"), quiet)
    written = 0
    padding = "x" * 1000
    marks: list[int] = []
    for _ in range(30):
        marks.append(loud.now + 1)
        loud.write(*(f"{number} {padding}" for number in range(written, written + 1000)))
        written += 1000
        quiet.write("still here")
        box.seconds += 0.1
        box.now = loud.now
        box.round()
    box.round(force=True)
    lines: list[str] = []
    for since, until in zip(marks, [*marks[1:], None], strict=True):
        lines += box.lines(Wanted(service="loud", since=since, until=until))
    kept = [one for one in lines if one.endswith(padding)]
    dropped = sum(int(one.split()[1]) for one in lines if one.startswith("dropped "))
    assert len(kept) + dropped == written
    assert dropped > 10_000
    assert box.lines(Wanted(service="quiet", stream=Stream.STDOUT)) == ["still here"] * 30


def test_the_quota_of_an_app_is_kept_and_takes_the_oldest(tmp_path: Path) -> None:
    box = Box(tmp_path, Bounds(quota=4 * MIB, keep=1e9, rate=0))
    loud, other = Conmon(tmp_path / "a.log", most=32 * MIB), Conmon(tmp_path / "b.log")
    box.follow(source("a"), loud)
    box.follow(source("b", app="blog"), other)
    other.write("a post")
    box.round(force=True)
    chance = random.Random(1)
    for number in range(60):
        loud.write(*(f"{number} {chance.randbytes(150).hex()}" for _ in range(1000)))
        box.round()
    assert box.size() <= 4 * MIB * 9 / 8
    assert len(segments(tmp_path / "logs" / "shop")) > 2
    lines = box.lines()
    assert lines[-1].startswith("59 ")
    assert not lines[0].startswith("0 ")
    assert box.lines(app="blog") == ["a post"]


def test_what_is_too_old_is_deleted(tmp_path: Path) -> None:
    box = Box(tmp_path, Bounds(quota=64 * MIB, keep=3600, rate=0))
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write("old")
    box.wanted.clear()
    box.round()
    box.intake.close()
    box.kill()
    box.now += 7200 * 10**9
    box.round()
    assert not (tmp_path / "logs" / "shop").exists()


def test_a_damaged_segment_is_set_aside_and_its_lines_are_read_again(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    box.follow(source(), conmon)
    conmon.write(*numbered(0, 10))
    box.round(force=True)
    box.intake.close()
    box.kill()
    (segment,) = segments(tmp_path / "logs" / "shop")
    segment.write_bytes(b"nonsense " * 1000)
    box.round()
    assert box.lines() == numbered(0, 10)
    box.round(force=True)
    assert box.lines() == numbered(0, 10)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    program = f"{sys.executable} -m tests.telemetry.logs.full_disk {disk} {elsewhere}"
    run = f"mount -t tmpfs -o size=1m none {disk} && exec {program}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", run], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\nThis test needs root: it mounts a small disk."


def test_a_log_that_cannot_be_opened_holds_up_no_other(box: Box, tmp_path: Path) -> None:
    conmon = Conmon(tmp_path / "ctr.log")
    loop = tmp_path / "loop.log"
    loop.symlink_to(loop)
    box.wanted["bad"] = (source("bad"), str(loop))
    box.follow(source(), conmon)
    conmon.write("a line")
    box.round(force=True)
    assert box.lines() == ["a line"]

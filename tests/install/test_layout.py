"""Versions side by side: whole or not there, a switch in one step, a way back; whatever is killed or full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minipaas.install.layout import Layout, Version
from minipaas.model.errors import Conflict, Invalid, Missing
from tests.install.made import tree

NOBODY = 65534
REPO = Path(__file__).parents[2]
ENTER = """
import sys
from pathlib import Path
from minipaas.install.layout import Layout
from minipaas.model.errors import MinipaasError
try:
    with Layout(Path(sys.argv[1])).lock():
        print("entered")
except MinipaasError as error:
    print(error.kind, error.message, error.hint)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "opt" / "minipaas")


def place(layout: Layout, tmp_path: Path, version: str, **more: int) -> Version:
    with layout.lock():
        return layout.place(
            tree(tmp_path / f"built-{version}-{len(list(tmp_path.iterdir()))}", version, **more), version
        )


def says(path: Path) -> str:
    return subprocess.run([path], capture_output=True, text=True, check=True).stdout.strip()


def test_a_version_is_placed_whole(layout: Layout, tmp_path: Path) -> None:
    source = tree(tmp_path / "built", "1.4.0")
    heard: list[tuple[int, int]] = []
    with layout.lock():
        placed = layout.place(source, "1.4.0", lambda done, whole: heard.append((done, whole)))
    assert placed.path.parent == layout.home / "versions"
    assert (placed.version, len(placed.name)) == ("1.4.0", len("1.4.0-") + 12)
    assert says(placed.executable) == "minipaas 1.4.0"
    assert (placed.path / "_internal/libx.so").readlink() == Path("libx.so.1")
    assert (placed.path / "_internal/deep/note.txt").read_text() == "1.4.0"
    assert heard[-1][0] == heard[-1][1] > 100
    assert layout.current() is None
    assert list(layout.versions()) == [placed]


def test_others_may_read_it_whatever_the_umask(layout: Layout, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        placed = place(layout, tmp_path, "1.0")
    finally:
        os.umask(before)
    for path in (layout.home, placed.path, placed.path / "_internal", placed.executable):
        assert path.stat().st_mode & 0o777 == 0o755, path
    assert (placed.path / "_internal/deep/note.txt").stat().st_mode & 0o777 == 0o644


def test_the_same_again_changes_nothing(layout: Layout, tmp_path: Path) -> None:
    first = place(layout, tmp_path, "1.0")
    inode = first.executable.stat().st_ino
    assert place(layout, tmp_path, "1.0") == first
    assert first.executable.stat().st_ino == inode


def test_other_content_of_the_same_version_is_another_directory(layout: Layout, tmp_path: Path) -> None:
    assert place(layout, tmp_path, "1.0").name != place(layout, tmp_path, "1.0", ballast=1).name


def test_a_damaged_one_is_placed_anew(layout: Layout, tmp_path: Path) -> None:
    first = place(layout, tmp_path, "1.0")
    (first.path / "_internal/libx.so.1").write_bytes(b"")
    assert place(layout, tmp_path, "1.0") == first
    assert (first.path / "_internal/libx.so.1").read_bytes() == b"x" * 100


def test_switch_and_the_way_back(layout: Layout, tmp_path: Path) -> None:
    old, new = place(layout, tmp_path, "1.0"), place(layout, tmp_path, "1.1")
    layout.switch(old)
    assert (layout.current(), layout.previous()) == (old, None)
    layout.switch(new)
    assert (layout.current(), layout.previous()) == (new, old)
    assert says(layout.home / "current/minipaas") == "minipaas 1.1"
    layout.switch(new)
    assert layout.previous() == old
    layout.switch(old)
    assert (layout.current(), layout.previous()) == (old, new)
    assert says(layout.home / "current/minipaas") == "minipaas 1.0"


def test_what_was_no_good_is_as_if_it_had_never_been(layout: Layout, tmp_path: Path) -> None:
    first, second, bad = (place(layout, tmp_path, version) for version in ("1.0", "1.1", "1.2"))
    for version in (first, second):
        layout.switch(version)
    before = layout.previous()
    layout.switch(bad)
    for _ in range(2):  # cut off and done again
        layout.restore(second, before)
        assert (layout.current(), layout.previous()) == (second, first)
    layout.switch(bad)
    layout.restore(second, None)
    assert (layout.current(), layout.previous()) == (second, None)
    with pytest.raises(Missing, match="cannot go back to minipaas"):
        layout.restore(Version(layout.home / "versions/0.1-0123456789ab"), None)
    assert layout.current() == second


def test_the_whole_home_can_be_moved(layout: Layout, tmp_path: Path) -> None:
    layout.switch(place(layout, tmp_path, "1.0"))
    moved = Layout(layout.home.rename(tmp_path / "moved"))
    assert says(moved.home / "current/minipaas") == "minipaas 1.0"
    assert moved.current() == moved.versions()[0]


def test_a_program_finds_where_it_is_installed(layout: Layout, tmp_path: Path) -> None:
    placed = place(layout, tmp_path, "1.0-rc1")
    layout.switch(placed)
    link = tmp_path / "bin-minipaas"
    link.symlink_to(layout.home / "current" / "minipaas")
    assert Layout.holding(link.resolve()) == (layout, placed)
    assert Layout.holding(tree(tmp_path / "elsewhere") / "minipaas") is None


def test_prune_spares_what_is_needed(layout: Layout, tmp_path: Path) -> None:
    versions = [place(layout, tmp_path, f"1.{number}") for number in range(6)]
    layout.switch(versions[0])
    layout.switch(versions[1])
    assert set(layout.prune(3)) == set(versions[2:5])
    assert layout.versions() == (versions[0], versions[1], versions[5])
    assert layout.prune(1) == (versions[5],)
    assert (layout.current(), layout.previous()) == (versions[1], versions[0])


def test_prune_spares_what_runs(layout: Layout, tmp_path: Path) -> None:
    source = tree(tmp_path / "built")
    inner = source / "_internal" / "real"
    inner.write_bytes(Path("/bin/sleep").read_bytes())
    inner.chmod(0o755)
    with layout.lock():
        running = layout.place(source, "0.9")
    layout.switch(place(layout, tmp_path, "1.0"))
    process = subprocess.Popen([running.path / "_internal/real", "60"])
    try:
        assert layout.prune(1) == ()
    finally:
        process.kill()
        process.wait()
    assert layout.prune(1) == (running,)


def test_remove_leaves_nothing_of_ours_and_all_of_others(layout: Layout, tmp_path: Path) -> None:
    layout.switch(place(layout, tmp_path, "1.0"))
    layout.remove()
    assert not layout.home.exists()
    layout.switch(place(layout, tmp_path, "1.0"))
    (layout.home / "mine").write_text("not yours")
    layout.remove()
    assert [path.name for path in layout.home.iterdir()] == ["mine"]


def test_find_by_what_people_type(layout: Layout, tmp_path: Path) -> None:
    old, new = place(layout, tmp_path, "1.0"), place(layout, tmp_path, "1.0.1")
    assert layout.find("1.0") == old
    assert layout.find("1.0.1") == new
    assert layout.find(new.name[:-3]) == new
    with pytest.raises(Invalid, match="cannot tell which"):
        layout.find("1")
    with pytest.raises(Missing, match="cannot find minipaas '2'"):
        layout.find("2")


def test_what_is_no_unpacked_program(layout: Layout, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    plain = tree(tmp_path / "plain")
    (plain / "minipaas").chmod(0o644)
    leads_out = tree(tmp_path / "leads-out")
    (leads_out / "_internal/shadow").symlink_to("/etc/shadow")
    climbs = tree(tmp_path / "climbs")
    (climbs / "_internal/up").symlink_to("../../../x")
    special = tree(tmp_path / "special")
    os.mkfifo(special / "_internal/pipe")
    with layout.lock():
        for source, why in (
            (empty, "no executable"),
            (tmp_path / "none", "no executable"),
            (plain, "no executable"),
            (leads_out, "leads out"),
            (climbs, "leads out"),
            (special, "neither a file"),
        ):
            with pytest.raises(Invalid, match=why):
                layout.place(source, "1.0")
        good = tree(tmp_path / "good")
        for version in ("", "../up", "1 0", "-1", "1/0", "x" * 100):
            with pytest.raises(Invalid, match="is not a version"):
                layout.place(good, version)
    assert layout.versions() == ()
    with pytest.raises(Missing, match="cannot switch"):
        layout.switch(Version(layout.home / "versions/1.0-0123456789ab"))


def test_one_at_a_time(layout: Layout) -> None:
    with layout.lock(), pytest.raises(Conflict, match="another install"), layout.lock(wait=0.2):
        pass


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    """In a mount of its own: said before anything is copied, and nothing is left."""
    source = tree(tmp_path / "built", ballast=4 * 1024**2)
    script = f"""
import sys
from pathlib import Path
from minipaas.install.layout import Layout
from minipaas.model.errors import MinipaasError
layout = Layout(Path(sys.argv[1]) / "opt")
try:
    with layout.lock():
        layout.place(Path({str(source)!r}), "1.0")
except MinipaasError as error:
    print(error.kind, error.code, error.message, "→", error.hint)
print([path.name for path in (layout.home / "versions").glob("*")])
"""
    disk = tmp_path / "disk"
    disk.mkdir()
    code = f'mount -t tmpfs -o size=8m none {disk} && exec {sys.executable} -c "$0" {disk}'
    ran = subprocess.run(["unshare", "-m", "sh", "-c", code, script], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("no_space install.no_space cannot place minipaas 1.0")
    assert "20.0 MiB are needed, 8.0 MiB are free → free some space" in ran.stdout
    assert ran.stdout.endswith("[]\n")


def test_a_place_that_is_not_for_us(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555 if os.geteuid() else 0o755)
    ran = subprocess.run(
        [sys.executable, "-c", ENTER, closed / "opt"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPO,
        **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}),
    )
    assert ran.stdout.startswith(f"forbidden cannot make {closed}/opt")
    assert ": Permission denied" in ran.stdout
    assert "minipaas install --user" in ran.stdout


def test_killed_at_any_instant(layout: Layout, tmp_path: Path) -> None:
    """After each kill `current` leads to a whole version, the one last said or the one under way; and work goes on."""
    sources = [str(tree(tmp_path / f"built-{number}", str(number), ballast=number * 300_000)) for number in range(3)]
    pause = random.Random(7)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.install.killed", str(layout.home), *sources],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(pause.uniform(0.05, 0.3))
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
        process.wait()
        current = layout.current()
        if said:
            assert current is not None
        if current is not None:
            assert says(layout.home / "current/minipaas").startswith("minipaas ")
        for one in layout.versions():
            with layout.lock():
                assert layout.place(one.path, one.version) == one, "whole: its name still fits its content"
    leftovers = [path.name for path in (layout.home / "versions").iterdir() if path.name.startswith(".")]
    assert leftovers == []

"""The launcher: the one file unpacks itself and cleans up; whatever it starts leaves children a clean environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest


def _run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    whole = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=whole)


def test_the_one_file_leaves_nothing(dist: Path, tmp_path: Path) -> None:
    ran = _run(dist / "minipaas", "--version", TMPDIR=str(tmp_path))
    assert (ran.returncode, ran.stdout.split()[0], ran.stderr) == (0, "minipaas", "")
    assert list(tmp_path.iterdir()) == []
    refused = _run(dist / "minipaas", "no-such-command", TMPDIR=str(tmp_path))
    assert refused.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_the_tree_can_be_moved_and_linked_to(dist: Path, tmp_path: Path) -> None:
    shutil.copytree(dist / "program", tmp_path / "somewhere else", symlinks=True)
    (tmp_path / "link").symlink_to(tmp_path / "somewhere else/minipaas")
    ran = _run(tmp_path / "link", "--version")
    assert ran.stdout.startswith("minipaas "), ran.stderr


HIDDEN = 'mount -t tmpfs none /run && exec "$0" "$@"'
"""The system's Podman socket is out of sight, so that `serve` starts a service of its own."""
PODMAN = """#!/bin/sh
env > "$(dirname "$0")/seen"
exit 1
"""


@pytest.mark.parametrize("form", ["minipaas", "program/minipaas"])
def test_what_serve_starts_gets_the_environment_of_the_caller(dist: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "podman").write_text(PODMAN)
    (tmp_path / "podman").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LD_LIBRARY_PATH": "/opt/libraries", "MINE": "1"}
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", HIDDEN, dist / form, "serve", "--data", tmp_path / "data"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        deadline = time.monotonic() + 60
        while not (tmp_path / "seen").exists() and serving.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        serving.terminate()
        said = serving.communicate(timeout=60)[1]
    assert (tmp_path / "seen").exists(), said
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
    assert {"LD_LIBRARY_PATH": "/opt/libraries", "MINE": "1"}.items() <= seen.items()
    assert not [name for name in seen if name.startswith(("_PYI", "_MINIPAAS", "LD_LIBRARY_PATH_"))]


@pytest.mark.parametrize("options", ["noexec", "size=1m", "ro"])
def test_a_directory_that_will_not_do_is_passed_over(dist: Path, tmp_path: Path, options: str) -> None:
    script = f'mount -t tmpfs -o {options} none "$TMPDIR" && exec "$0" --version'
    ran = _run("unshare", "--mount", "sh", "-c", script, dist / "minipaas", TMPDIR=str(tmp_path))
    assert ran.stdout.startswith("minipaas "), ran.stderr


def test_no_room_anywhere_is_said_with_the_mend(dist: Path, tmp_path: Path) -> None:
    script = 'for one in /tmp /var/tmp /run /dev/shm; do mount -t tmpfs -o size=1m none $one; done; exec "$0" --version'
    kept = tmp_path / "minipaas"
    shutil.copy2(dist / "minipaas", kept)
    script = f'exec 3<"$0"; {script.replace("$0", "/proc/self/fd/3")}'
    ran = _run("unshare", "--mount", "sh", "-c", script, kept)
    assert ran.returncode == 1
    assert ran.stderr.startswith("cannot start minipaas: it needs ")
    assert "TMPDIR" in ran.stderr.splitlines()[1]


def test_a_damaged_file_says_so(dist: Path, tmp_path: Path) -> None:
    whole = (dist / "minipaas").read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(whole[:5_000_000] + bytes(64) + whole[5_000_064:])
    damaged.chmod(0o755)
    place = tmp_path / "tmp"
    place.mkdir()
    ran = _run(damaged, "--version", TMPDIR=str(place))
    assert ran.returncode == 1
    assert ran.stderr.startswith("cannot start minipaas: its archive is damaged")
    assert "copy the file again" in ran.stderr
    assert list(place.iterdir()) == []


def test_a_file_that_was_cut_off_says_so(dist: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes((dist / "minipaas").read_bytes()[:5_000_000])
    cut.chmod(0o755)
    ran = _run(cut, "--version")
    assert ran.returncode == 1
    assert "copy the whole directory, or the one file, again" in ran.stderr


def test_one_process_and_what_a_killed_one_left_is_locked_no_more(dist: Path, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    with subprocess.Popen(
        [dist / "minipaas", "serve", "--data", tmp_path / "data"],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(place), "CONTAINER_HOST": f"unix://{tmp_path}/no.sock"},
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        deadline = time.monotonic() + 60
        while not list(place.glob("minipaas.*/lib/minipaas")) and time.monotonic() < deadline:
            time.sleep(0.005)
        (unpacked,) = place.iterdir()
        assert unpacked.stat().st_mode & 0o777 == 0o700
        serving.send_signal(signal.SIGSTOP)
        assert _locked(unpacked)
        serving.kill()
        serving.wait(60)
    assert not _locked(unpacked)


def _locked(directory: Path) -> bool:
    return subprocess.run(["flock", "--exclusive", "--nonblock", directory, "true"], check=False).returncode != 0

"""The same sources, packages and tools give the same bytes."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path

from kit.box import REPO

from tests.built import run


def test_another_directory_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout
    second = tmp_path / "a directory of another name"
    second.mkdir()
    subprocess.run(["xargs", "-0", "cp", "--parents", "-t", str(second)], cwd=REPO, input=files, check=True)
    built = json.loads((dist / "minipaas.cdx.json").read_text())["metadata"]["timestamp"]
    epoch = int(datetime.fromisoformat(built).timestamp())
    run("env", f"SOURCE_DATE_EPOCH={epoch}", second / "scripts/build")
    assert (second / "dist/minipaas.cdx.json").read_text() == (dist / "minipaas.cdx.json").read_text()
    assert (second / "dist/minipaas").read_bytes() == (dist / "minipaas").read_bytes()


def test_no_path_of_the_building_machine_is_in_it(dist: Path) -> None:
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--text", str(REPO), str(dist / "program")], check=False
    )
    assert found.returncode == 1

"""What docs/building.md says to type."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kit.box import REPO

from tests.e2e.books import block


def typed(name: str) -> str:
    """What a block says when it is typed in the repository."""
    words = ["bash", "-eu", "-c", block("docs/building.md", name)]
    ran = subprocess.run(words, cwd=REPO, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    return ran.stdout


def test_building(dist: Path) -> None:
    assert "libssl3" in typed("build")
    assert (dist / "minipaas.cdx.json").is_file()


def test_the_one_file_is_opened_with_other_tools(dist: Path) -> None:
    assert (dist / "minipaas").is_file()
    assert typed("inside").splitlines()[0].startswith("lib")


def test_every_dependency_has_a_wheel_for_aarch64() -> None:
    typed("wheels")

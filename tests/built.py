"""The built binary, for the tests that need it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kit.box import REPO


def run(*words: str | Path, **env: str) -> None:
    """A script of the project, from its directory; with `env`, in no other environment."""
    ran = subprocess.run(
        [str(word) for word in words],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=env or None,
    )
    assert ran.returncode == 0, f"{' '.join(map(str, words))}:\n{ran.stdout}{ran.stderr}"


def build() -> Path:
    """`dist/`, current."""
    run("scripts/build")
    return REPO / "dist"

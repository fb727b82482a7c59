"""JavaScript packages that tests need, installed with npm into a cache outside the repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import pytest

TIMEOUT = 300
"""Seconds for an installation."""


def need(*tools: str) -> None:
    """Fail, not skip: a test that can't run proves nothing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} is not installed; on Debian: apt-get install {' '.join(missing)}")


def node_modules(package: Path) -> Path:
    """What this package.json asks for; installed when first asked, and again when the file changes."""
    need("node", "npm")
    wanted = package.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minipaas-tests"
    home = cache / f"{package.parent.name}-{zlib.crc32(wanted):08x}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        try:
            (fresh / "package.json").write_bytes(wanted)
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=TIMEOUT, check=False)
            if done.returncode != 0:
                pytest.fail(f"npm could not install what {package} asks for:\n{done.stderr[-2000:]}")
            with contextlib.suppress(OSError):  # another worker may have been faster
                fresh.rename(home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return home / "node_modules"

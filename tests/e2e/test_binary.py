"""The built binary tests itself on this machine, with our sources out of sight."""

from __future__ import annotations

import subprocess

from kit.box import REPO


def test_the_binary_does_its_main_job() -> None:
    for command in (["scripts/build"], ["buildspec/selftest", "dist/minipaas"]):
        ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=900, check=False)
        assert ran.returncode == 0, f"{command[0]}:\n{ran.stdout}{ran.stderr}"

"""The built binary tests itself on this machine, with our sources out of sight."""

from __future__ import annotations

import shlex
import subprocess

from kit.box import REPO

from tests.e2e.books import block


def test_the_binary_does_its_main_job() -> None:
    commands = [shlex.split(line, comments=True) for line in block("README.md", "one-file").splitlines()]
    assert [command[0] for command in commands] == ["scripts/build", "buildspec/selftest"]
    for command in commands:
        ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=900, check=False)
        assert ran.returncode == 0, f"{command[0]}:\n{ran.stdout}{ran.stderr}"

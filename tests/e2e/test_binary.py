"""The built binary tests itself: on this machine with our sources out of sight, and on an older and a newer system."""

from __future__ import annotations

import shlex

import pytest

from tests.built import run
from tests.e2e.books import block

BUILD, SELFTEST = (shlex.split(line, comments=True) for line in block("README.md", "one-file").splitlines())
"""What the README says to type."""


@pytest.fixture(scope="session")
def built() -> str:
    """`dist/minipaas`, current."""
    run(*BUILD)
    return SELFTEST[1]


@pytest.mark.parametrize(
    "where",
    [
        pytest.param((), id="here"),
        # glibc 2.31; its own Podman 3.0 speaks an older API than minipaas
        pytest.param(("--on", "bullseye", "--podman-of", "host"), id="debian-11-with-a-newer-podman"),
        pytest.param(("--on", "trixie"), id="debian-13-podman-5.4"),
    ],
)
def test_the_binary_does_its_main_job(built: str, where: tuple[str, ...]) -> None:
    run(SELFTEST[0], *where, built)

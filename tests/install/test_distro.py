"""The words with which this host installs a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.install import distro


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ("ID=debian\n", "apt install podman uidmap"),
        ("ID=raspbian\nID_LIKE=debian\n", "apt install podman uidmap"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\n', "dnf install podman shadow-utils"),
        ("ID=alpine\n", "apk add podman shadow-uidmap"),
        ("ID=unheard-of\n", "install these packages: podman uidmap"),
        ("", "install these packages: podman uidmap"),
    ],
)
def test_a_package(tmp_path: Path, release: str, told: str) -> None:
    (tmp_path / "os-release").write_text(release)
    assert distro.install("podman", "uidmap", release=tmp_path / "os-release") == told

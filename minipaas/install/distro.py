"""How this host's distribution installs a package: the words of a mend."""

from __future__ import annotations

import shlex
from pathlib import Path

from minipaas.install import files

_TOOLS = {
    "debian": "apt install",
    "ubuntu": "apt install",
    "fedora": "dnf install",
    "rhel": "dnf install",
    "suse": "zypper install",
    "opensuse": "zypper install",
    "alpine": "apk add",
    "arch": "pacman -S",
}
_NAMES = {
    "alpine": {"uidmap": "shadow-uidmap", "iptables": "iptables"},
    "fedora": {"uidmap": "shadow-utils", "iptables": "iptables-nft"},
    "rhel": {"uidmap": "shadow-utils", "iptables": "iptables-nft"},
    "suse": {"uidmap": "shadow"},
    "arch": {"uidmap": "shadow"},
}
"""Where a package is not called as in Debian."""


def install(*packages: str, release: Path = Path("/etc/os-release")) -> str:
    """`apt install podman`, or what this host says instead (os-release(5))."""
    told = dict(line.split("=", 1) for line in files.read(release).splitlines() if "=" in line)
    for name in " ".join(shlex.split(f"{told.get('ID', '')} {told.get('ID_LIKE', '')}")).split():
        if name in _TOOLS:
            return f"{_TOOLS[name]} {' '.join(_NAMES.get(name, {}).get(one, one) for one in packages)}"
    return f"install these packages: {' '.join(packages)}"

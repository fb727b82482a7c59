"""Every size and time limit of the author's side, in one place."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Bytes, counts and seconds."""

    compose_file: int = 1024**2
    compose_nodes: int = 100_000
    """Values in a Compose file after YAML aliases are followed; an alias bomb ends here."""
    env_file: int = 1024**2
    archive_json: int = 4 * 1024**2
    """A manifest, index or image config in an exported archive."""
    program: int = 512 * 1024**2
    """Bytes of a program tree of minipaas."""
    archive_members: int = 4096
    package_database: int = 64 * 1024**2
    """`dpkg/status` and `apk/db/installed`."""
    package_file: int = 1024**2
    """METADATA, PKG-INFO, package.json, os-release."""
    packages: int = 200_000
    """Package records that an image may hold."""
    containerfile: int = 1024**2
    context_files: int = 500_000
    git: float = 20.0
    """Seconds for one question to git."""
    key_file: int = 64 * 1024
    root_file: int = 1024**2


LIMITS = Limits()

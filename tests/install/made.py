"""Unpacked programs, made up: small scripts that say which version they are."""

from __future__ import annotations

from pathlib import Path


def tree(top: Path, version: str = "1.0", *, ballast: int = 0) -> Path:
    """A directory like the one that a build leaves: a program, and what it needs beside it."""
    inside = top / "_internal" / "deep"
    inside.mkdir(parents=True)
    program = top / "minipaas"
    program.write_text(f"#!/bin/sh\necho minipaas {version}\n")
    program.chmod(0o755)
    (top / "_internal" / "libx.so.1").write_bytes(b"x" * 100 + b"y" * ballast)
    (top / "_internal" / "libx.so").symlink_to("libx.so.1")
    (inside / "note.txt").write_text(version)
    return top
